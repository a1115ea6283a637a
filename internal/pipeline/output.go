package pipeline

import (
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// output is where a run tells what happens. It is safe for concurrent use.
type output interface {
	// began tells what is about to run.
	began(opts Options)
	// changed tells what became of a task; of the watch's goroutine's calls in order.
	changed(t *task, at time.Time)
	// delayed tells that a task waits before its next try.
	delayed(t *task, wait time.Duration)
	// records tells a piece of the log of a task's try.
	records(task string, try int, records []*controlv1.LogRecord)
	// agent tells what an agent said of itself, and remark what there is to know of a log.
	agent(task string, try int, text string)
	remark(task string, try int, text string)
	// stopping tells why a run is stopped while tasks run, which are asked to end, and
	// whether they can be killed by asking again.
	stopping(cause error, again bool)
	// ended tells the result and why the run was stopped, if it was, and returns the
	// first failure to write anything.
	ended(r Result, stopped error) error
	// broken gets that failure when it happens.
	broken() <-chan error
}

func newOutput(opts Options) output {
	if opts.JSON {
		return newEvents(opts)
	}
	return newPrinter(opts)
}
