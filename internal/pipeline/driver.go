package pipeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/neochaotic/leoflow/internal/domain"
)

// driver drives one run. Its tasks and its other plain fields belong to the
// goroutine of drive: all others speak to it through post.
type driver struct {
	opts  Options
	out   output
	tasks []*task // in the order of the file
	byID  map[string]*task

	calls    context.Context //nolint:containedctx // of every RPC: it outlives the caller's, and bounds the end
	endCalls context.CancelFunc

	events    chan func()
	others    sync.WaitGroup // every goroutine but drive's
	stopping  chan struct{}  // closed: nothing new starts
	cancelled chan struct{}  // closed: agents are asked to end
	killing   chan struct{}  // closed: agents are killed

	key       string // tells our calls from another driver's
	backlog   int64  // the revision up to which an earlier driver drove
	seen      int64  // the last revision told
	abandoned bool   // what earlier drivers left was settled

	slots     int   // attempts that have a process, or are about to
	pending   int   // attempts and calls that are not done
	stopCause error // why the run is stopped; nil: it is not
	unwatched bool  // the watch ended, and tells no more
}

func newDriver(ctx context.Context, opts Options) *driver {
	d := &driver{
		opts: opts, byID: map[string]*task{},
		events: make(chan func()), stopping: make(chan struct{}), cancelled: make(chan struct{}), killing: make(chan struct{}),
	}
	d.calls, d.endCalls = context.WithCancel(context.WithoutCancel(ctx))
	for i := range opts.Pipeline.Tasks {
		def := &opts.Pipeline.Tasks[i]
		t := &task{id: def.ID, when: def.When, retry: def.Retry, state: domain.TaskStateNone, acted: never}
		d.tasks = append(d.tasks, t)
		d.byID[t.id] = t
	}
	for _, t := range d.tasks {
		for _, id := range opts.Pipeline.Upstream(t.id) {
			up := d.byID[id]
			t.upstream, up.below = append(t.upstream, up), append(up.below, t)
		}
	}
	d.out = newOutput(opts)
	return d
}

// drive runs the run to its end. When it returns, every other goroutine has ended.
func (d *driver) drive(ctx context.Context) {
	d.others.Go(d.watch)
	interrupted, hurry, tooLate := ctx.Done(), d.opts.Hurry, d.calls.Done()
	for {
		d.schedule()
		if d.finished() {
			break
		}
		select {
		case event := <-d.events:
			event()
		case <-interrupted:
			interrupted = nil
			d.stop(fmt.Errorf("the run was stopped: %w", context.Cause(ctx)))
		case <-hurry:
			hurry = nil
			d.kill()
		case err := <-d.out.broken():
			d.stop(fmt.Errorf("the output cannot be written: %w", err))
		case <-tooLate:
			tooLate = nil
			d.unwatched = true
		}
	}
	d.endCalls()
	d.drain()
}

// drain waits for the other goroutines; what they still have to say comes too late.
func (d *driver) drain() {
	ended := make(chan struct{})
	go func() {
		d.others.Wait()
		close(ended)
	}()
	for {
		select {
		case <-d.events:
		case <-ended:
			return
		}
	}
}

// post has f called by the goroutine of drive.
func (d *driver) post(f func()) { d.events <- f }

// finished reports whether nothing is left to do or to wait for.
func (d *driver) finished() bool {
	stopped := d.stopCause != nil
	switch {
	case d.pending > 0:
		return false
	case stopped && d.unwatched:
		return true
	case d.seen < d.backlog:
		return false
	}
	for _, t := range d.tasks {
		switch {
		case stopped && t.lost:
		case t.busy, t.expectant(), !t.state.Terminal(), !stopped && t.retryDue():
			return false
		}
	}
	return true
}
