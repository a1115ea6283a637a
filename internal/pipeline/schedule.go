package pipeline

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// schedule begins what can begin, in the order of the file.
func (d *driver) schedule() {
	if d.stopCause != nil {
		d.settleRest()
		return
	}
	for _, t := range d.tasks {
		if t.begun || t.state.Terminal() || t.state.Live() {
			continue
		}
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
}

// settleRest settles what will not begin because the run is stopped, once the
// attempts under way have had their end.
func (d *driver) settleRest() {
	if d.pending > 0 || d.unwatched {
		return
	}
	for _, t := range d.tasks { // no attempt's outcome is still on its way
		if t.attempt != nil && !t.state.Terminal() && !t.lost {
			return
		}
	}
	rest := map[*task]policyv1.TaskState{}
	for _, t := range d.tasks {
		if t.begun || t.state.Terminal() || t.state.Live() {
			continue
		}
		rest[t] = policyv1.TaskState_TASK_STATE_SKIPPED
		if t.doomed() {
			rest[t] = policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED
		}
	}
	for _, t := range d.tasks {
		if state, ok := rest[t]; ok {
			d.settleTask(t, state)
		}
	}
}

// settleTask records that a task will not be launched.
func (d *driver) settleTask(t *task, state policyv1.TaskState) {
	t.begun = true
	d.pending++
	d.others.Go(func() {
		_, _, err := call(d.calls, d.opts.pace, d.opts.Client.SettleTask, &controlv1.SettleTaskRequest{
			DagId: d.opts.Pipeline.Name, RunId: d.opts.RunID, TaskId: t.id, State: state,
		})
		d.post(func() {
			d.pending--
			t.lost = err != nil
			// Somebody else may have launched it: then the watch tells what becomes of it.
			if err != nil && status.Code(err) != codes.FailedPrecondition {
				d.stop(fmt.Errorf("settle task %q: %w", t.id, err))
			}
		})
	})
}
