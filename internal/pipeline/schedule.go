package pipeline

import (
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// schedule begins what can begin, in the order of the file.
func (d *driver) schedule() {
	switch {
	case d.stopCause != nil:
		d.settleRest()
		return
	case d.seen < d.backlog:
		return // what an earlier driver did is not known yet
	}
	if d.opts.Orphaned && !d.abandoned {
		d.abandoned = true
		d.abandon()
	}
	for _, t := range d.tasks {
		switch {
		case t.busy, t.waiting, t.lost, t.expectant(), t.state.Live():
		case t.retryDue(), t.stale:
			d.retry(t)
		case t.state.Terminal():
		case t.state == domain.TaskStateUpForRetry && t.asked == t.try && t.waited < t.try:
			d.delay(t)
		default:
			d.begin(t)
		}
	}
}

// begin does with a task what its rule says.
func (d *driver) begin(t *task) {
	switch t.fate() {
	case fateWait:
	case fateLaunch:
		if d.slots < d.opts.Parallel {
			d.launch(t)
		}
	case fateSkip:
		d.settleTask(t, policyv1.TaskState_TASK_STATE_SKIPPED)
	case fateFail:
		d.settleTask(t, policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED)
	}
}

// retry asks for another try of a task, so that everybody sees that it waits for one.
func (d *driver) retry(t *task) {
	try := t.try
	t.asked = try
	d.ask(t, "retry", func() error {
		_, _, err := call(d.calls, d.opts.pace, d.opts.Client.RetryTask, &controlv1.RetryTaskRequest{
			DagId: d.opts.Pipeline.Name, RunId: d.opts.RunID, TaskId: t.id, TryNumber: int32(try), //nolint:gosec // small
		})
		return err
	})
}

// settleTask records that a task will not be launched.
func (d *driver) settleTask(t *task, state policyv1.TaskState) {
	d.ask(t, "settle", func() error {
		_, _, err := call(d.calls, d.opts.pace, d.opts.Client.SettleTask, &controlv1.SettleTaskRequest{
			DagId: d.opts.Pipeline.Name, RunId: d.opts.RunID, TaskId: t.id, State: state,
		})
		return err
	})
}

// ask makes a call about a task. Where somebody else has moved the task on meanwhile,
// the watch tells what became of it.
func (d *driver) ask(t *task, what string, do func() error) {
	t.act()
	d.pending++
	d.others.Go(func() {
		err := do()
		d.post(func() {
			d.pending--
			t.busy = false
			if err != nil && status.Code(err) != codes.FailedPrecondition {
				t.lost = true
				d.stop(fmt.Errorf("%s task %q: %w", what, t.id, err))
			}
		})
	})
}

// delay has a task wait before its next try. Its slot is free meanwhile.
func (d *driver) delay(t *task) {
	wait := retryDelay(t)
	t.waited, t.waiting = t.try, true
	d.out.delayed(t, wait)
	d.others.Go(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-d.stopping:
		case <-d.calls.Done():
		}
		d.post(func() { t.waiting = false })
	})
}

// retryDelay is the wait after the task's present try: doubled for each before it, and
// lengthened by up to a tenth.
func retryDelay(t *task) time.Duration {
	wait := t.retry.Delay
	for range t.try - 1 {
		if wait = 2 * wait; wait >= t.retry.DelayMax {
			break
		}
	}
	wait = min(wait, t.retry.DelayMax)
	return wait + rand.N(wait/10+1) //nolint:gosec // jitter is no secret
}

// abandon settles the attempts of an earlier driver whose agents can report no more.
func (d *driver) abandon() {
	for _, t := range d.tasks {
		if !t.state.Live() {
			continue
		}
		a := &attempt{taskID: t.id, try: t.try}
		d.ask(t, "settle", func() error {
			return d.settleAttempt(a, controlv1.Cause_CAUSE_LOST, Exit{}, "the control plane that its agent knew has ended")
		})
	}
}

// settleRest settles what the cancel of the run left, because it had no attempt yet,
// or because there was no answer to it.
func (d *driver) settleRest() {
	if d.pending > 0 || d.unwatched {
		return
	}
	for _, t := range d.tasks {
		if !t.busy && !t.lost && !t.expectant() && !t.state.Terminal() && !t.state.Live() {
			d.settleTask(t, policyv1.TaskState_TASK_STATE_SKIPPED)
		}
	}
}
