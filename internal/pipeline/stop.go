package pipeline

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// maxStopWithin is the longest deadline that a cancel may have.
const maxStopWithin = 24 * time.Hour

// stop ends the run early, for the first cause given: it is cancelled on the control
// plane, so that everybody sees why it ends, and then each agent is asked to end.
func (d *driver) stop(cause error) {
	if d.stopCause != nil {
		return
	}
	d.stopCause = cause
	close(d.stopping)
	if d.slots > 0 {
		d.out.stopping(cause, d.opts.Hurry != nil)
	}
	d.pending++
	d.others.Go(func() {
		d.cancelRun()
		close(d.cancelled)
		d.post(func() { d.pending-- })
	})
	d.endCallsWithin(d.opts.StopWait + d.opts.pace.stopCalls)
}

// cancelRun cancels the run. Where that is not answered, agents are asked all the
// same, and what is left is settled.
func (d *driver) cancelRun() {
	ctx, cancel := context.WithTimeout(d.calls, d.opts.pace.cancel)
	defer cancel()
	_, _, _ = call(ctx, d.opts.pace, d.opts.Client.CancelRun, &controlv1.CancelRunRequest{
		DagId: d.opts.Pipeline.Name, RunId: d.opts.RunID,
		StopWithin: durationpb.New(min(d.opts.StopWait, maxStopWithin)),
	})
}

// kill ends the run at once.
func (d *driver) kill() {
	d.stop(fmt.Errorf("the run was killed: %w", context.Canceled))
	close(d.killing)
	d.endCallsWithin(d.opts.pace.hurry)
}

func (d *driver) endCallsWithin(limit time.Duration) {
	timer := time.AfterFunc(limit, d.endCalls)
	context.AfterFunc(d.calls, func() { timer.Stop() })
}

// stopped reports whether the run is being stopped; any goroutine may ask.
func (d *driver) stopped() bool {
	select {
	case <-d.stopping:
		return true
	default:
		return false
	}
}
