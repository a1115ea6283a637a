package store

import (
	"context"
	"sync"

	"github.com/neochaotic/leoflow/internal/domain"
)

// watchKey names a run of any tenant.
type watchKey struct {
	tenant string
	domain.RunKey
}

// watches wakes those who wait for a run to change.
type watches struct {
	tell func(wakeKey) // tells other servers of a change; nil: there are none

	mu     sync.Mutex
	runs   map[wakeKey]*watch
	closed bool
}

// watch is a channel that the next change closes, and the contexts that hold it.
type watch struct {
	changed chan struct{}
	// release by the Done channel of a context: a context that asks again is held once.
	holders map[<-chan struct{}]func() bool
}

func newWatches() *watches { return &watches{runs: map[wakeKey]*watch{}} }

// RunChanged returns a channel that is closed on the next change of the run by
// this process, soon after one by another on the same database, unless that gets lost,
// and when the store closes. Take it before RunChanges, so that no
// change falls between. It costs nothing any more once it is closed or ctx is done.
// Without a tenant in ctx the channel is closed already, and RunChanges says why.
func (s *Store) RunChanged(ctx context.Context, key domain.RunKey) <-chan struct{} {
	tenant, ok := domain.TenantFrom(ctx)
	if !ok {
		return closedChannel()
	}
	return s.watches.of(ctx, watchKey{tenant, key}.digest())
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (w *watches) of(ctx context.Context, key wakeKey) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || ctx.Err() != nil {
		return closedChannel()
	}
	run, ok := w.runs[key]
	if !ok {
		run = &watch{changed: make(chan struct{}), holders: map[<-chan struct{}]func() bool{}}
		w.runs[key] = run
	}
	done := ctx.Done()
	if _, held := run.holders[done]; !held {
		run.holders[done] = context.AfterFunc(ctx, func() { w.release(key, run, done) })
	}
	return run.changed
}

// release forgets a holder whose context is done, and the run with its last one.
func (w *watches) release(key wakeKey, run *watch, done <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(run.holders, done)
	if len(run.holders) == 0 && w.runs[key] == run {
		delete(w.runs, key)
	}
}

// wake closes the run's channel, here and on other servers.
func (w *watches) wake(key watchKey) {
	digest := key.digest()
	w.wakeUp(digest)
	if w.tell != nil {
		w.tell(digest)
	}
}

// wakeUp closes the run's channel.
func (w *watches) wakeUp(key wakeKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if run, ok := w.runs[key]; ok {
		delete(w.runs, key)
		run.wake()
	}
}

// wakeAll wakes everybody: any run may have changed.
func (w *watches) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, run := range w.runs {
		run.wake()
	}
	clear(w.runs)
}

// close wakes everybody, and later comers at once.
func (w *watches) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, run := range w.runs {
		run.wake()
	}
	clear(w.runs)
}

func (r *watch) wake() {
	close(r.changed)
	for _, stop := range r.holders {
		stop()
	}
}
