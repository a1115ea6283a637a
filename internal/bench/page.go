package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The metric that tells how long the reaper read.
const reaperRead = "leoflow_reaper_read_seconds"

// Looks watches how long a server's reaper takes to read the live attempts, by its page
// of metrics.
type Looks struct {
	stop  context.CancelFunc
	ended chan struct{}
	more  chan time.Duration // has the last look that nobody took

	mu   sync.Mutex
	took []time.Duration
	err  error
}

// WatchLooks begins to watch. Looks that were before do not count, and those that come
// within one interval count as alike.
func WatchLooks(ctx context.Context, addr string, every time.Duration) (*Looks, error) {
	count, sum, err := histogram(ctx, addr, reaperRead)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	l := &Looks{stop: stop, ended: make(chan struct{}), more: make(chan time.Duration, 1)}
	go func() {
		defer close(l.ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			nowCount, nowSum, err := histogram(ctx, addr, reaperRead)
			if ctx.Err() != nil {
				return
			}
			l.add(nowCount-count, nowSum-sum, err)
			if err == nil {
				count, sum = nowCount, nowSum
			}
		}
	}()
	return l, nil
}

func (l *Looks) add(n uint64, seconds float64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = err
	}
	if err != nil || n == 0 {
		return
	}
	one := time.Duration(seconds / float64(n) * float64(time.Second))
	for range n {
		l.took = append(l.took, one)
	}
	select {
	case l.more <- one:
	default:
	}
}

// Next returns how long a look read that it has not returned before, and waits for one.
func (l *Looks) Next(ctx context.Context) (time.Duration, error) {
	select {
	case took := <-l.more:
		return took, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// End ends the watch, and returns how long each look read.
func (l *Looks) End() ([]time.Duration, error) {
	l.stop()
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.took, l.err
}

// histogram reads how many values a histogram without labels has, and their sum.
func histogram(ctx context.Context, addr, name string) (count uint64, sum float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		return 0, 0, err
	}
	page, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(page.Body)
	if err := errors.Join(err, page.Body.Close()); err != nil {
		return 0, 0, fmt.Errorf("the page of metrics at %s: %w", addr, err)
	}
	for _, m := range families[name].GetMetric() {
		count += m.GetHistogram().GetSampleCount()
		sum += m.GetHistogram().GetSampleSum()
	}
	if families[name] == nil {
		return 0, 0, fmt.Errorf("the page of metrics at %s has no %s", addr, name)
	}
	return count, sum, nil
}
