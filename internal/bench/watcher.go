package bench

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Usage is what processes used while they were looked at.
type Usage struct {
	CPU     time.Duration `json:"cpu_ns"`
	RSSMean int64         `json:"rss_mean_bytes"`
	RSSPeak int64         `json:"rss_peak_bytes"`
}

// Watcher looks at a process, and all that descend from it, again and again.
type Watcher struct {
	stop  context.CancelFunc
	ended chan struct{}

	mu    sync.Mutex
	first Spent
	last  Spent
	sum   int64
	looks int64
	peak  int64
	err   error
}

// Watch begins to look at a process at an interval.
func Watch(ctx context.Context, pid int, every time.Duration) *Watcher {
	ctx, stop := context.WithCancel(ctx)
	w := &Watcher{stop: stop, ended: make(chan struct{})}
	w.look(pid)
	w.first = w.last
	go func() {
		defer close(w.ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.look(pid)
			case <-ctx.Done():
				w.look(pid)
				return
			}
		}
	}()
	return w
}

func (w *Watcher) look(pid int) {
	got, err := SpentBy(pid)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.last = got
	w.sum += got.RSS
	w.looks++
	w.peak = max(w.peak, got.RSS)
}

// End looks a last time, and returns what was seen.
func (w *Watcher) End() (Usage, error) {
	w.stop()
	<-w.ended
	w.mu.Lock()
	defer w.mu.Unlock()
	return Usage{CPU: w.last.CPU - w.first.CPU, RSSMean: w.sum / max(w.looks, 1), RSSPeak: w.peak}, w.err
}
