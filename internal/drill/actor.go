package drill

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

const (
	running = agentv1.TaskState_TASK_STATE_RUNNING
	success = agentv1.TaskState_TASK_STATE_SUCCESS
	failed  = agentv1.TaskState_TASK_STATE_FAILED
)

// actor is the agent of one attempt of a crowd.
type actor struct {
	*crowd
	Attempt
	ctx context.Context //nolint:containedctx // with its token
}

// launch begins a try, in place of one that is under way where that is superseded.
func (c *crowd) launch(task string, try int32, supersede bool) (*actor, error) {
	resp, err := answered(c.ctx, func(ctx context.Context) (*controlv1.LaunchAttemptResponse, error) {
		return c.control.LaunchAttempt(ctx, &controlv1.LaunchAttemptRequest{DagId: crowdDag, RunId: runID, TaskId: task, TryNumber: try, Supersede: supersede})
	})
	if err != nil {
		return nil, fmt.Errorf("launch try %d: %w", try, err)
	}
	a := &actor{crowd: c, Attempt: Attempt{crowdDag, runID, task, try}}
	ctx := metadata.NewOutgoingContext(c.ctx, metadata.Pairs("authorization", "Bearer "+resp.GetAgentToken()))
	a.ctx = ctx
	return a, nil
}

// report reports, and tells whether the answer is to end.
func (a *actor) report(state agentv1.TaskState, exit int32, message string) (end bool, err error) {
	resp, err := answered(a.ctx, func(ctx context.Context) (*agentv1.ReportStateResponse, error) {
		return a.agents.ReportState(ctx, &agentv1.ReportStateRequest{State: state, ExitCode: exit, ErrorMessage: message})
	})
	if err == nil && !resp.GetAcknowledged() {
		err = fmt.Errorf("not acknowledged")
	}
	if err != nil {
		return false, fmt.Errorf("%v: report %v: %w", a, state, err)
	}
	return resp.GetShouldTerminate(), nil
}

// push pushes a value, and tells whether it was taken.
func (a *actor) push(value string) (taken bool, err error) {
	resp, err := answered(a.ctx, func(ctx context.Context) (*agentv1.PushXComResponse, error) {
		return a.agents.PushXCom(ctx, &agentv1.PushXComRequest{Value: []byte(value)})
	})
	if status.Code(err) == codes.FailedPrecondition {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%v: push: %w", a, err)
	}
	return resp.GetAccepted(), nil
}

// beat beats for a while; it returns early, with the reason, when it is told to end.
func (a *actor) beat(times int) (agentv1.TerminationReason, bool, error) {
	for range times {
		resp, err := answered(a.ctx, func(ctx context.Context) (*agentv1.HeartbeatResponse, error) {
			return a.agents.Heartbeat(ctx, &agentv1.HeartbeatRequest{})
		})
		if err != nil {
			return 0, false, fmt.Errorf("%v: heartbeat: %w", a, err)
		}
		if resp.GetShouldTerminate() {
			return resp.GetReason(), true, nil
		}
		if err := pause(a.ctx, beatEvery); err != nil {
			return 0, false, err
		}
	}
	return 0, false, nil
}

// undisturbed is the life of an agent that nobody has reason to end.
func (a *actor) undisturbed(state agentv1.TaskState, exit int32) error {
	if end, err := a.report(running, 0, ""); err != nil || end {
		return ended(err, a, "reported RUNNING")
	}
	for n := range 4 {
		if taken, err := a.push(fmt.Sprintf(`"%v value %d"`, a, n)); err != nil || !taken {
			return ended(err, a, "pushed a value")
		}
		if reason, end, err := a.beat(3); err != nil || end {
			return ended(err, a, fmt.Sprint("beat: ", reason))
		}
	}
	if end, err := a.report(state, exit, fmt.Sprintf("the end of %v", a)); err != nil || end {
		return ended(err, a, "reported its end")
	}
	return nil
}

func ended(err error, a *actor, when string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%v: told to end when it %s", a, when)
}

// plain succeeds.
func (c *crowd) plain(task string) error { return c.succeed(task, 1) }

func (c *crowd) succeed(task string, try int32) error {
	a, err := c.launch(task, try, false)
	if err != nil {
		return err
	}
	return a.undisturbed(success, 0)
}

// retry fails, and succeeds when it is tried again.
func (c *crowd) retry(task string) error {
	a, err := c.launch(task, 1, false)
	if err != nil {
		return err
	}
	if err := a.undisturbed(failed, 3); err != nil {
		return err
	}
	return c.another(task)
}

// another has a task tried again, and succeed.
func (c *crowd) another(task string) error {
	_, err := answered(c.ctx, func(ctx context.Context) (*controlv1.RetryTaskResponse, error) {
		return c.control.RetryTask(ctx, &controlv1.RetryTaskRequest{DagId: crowdDag, RunId: runID, TaskId: task, TryNumber: 1})
	})
	if err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	return c.succeed(task, 2)
}

// begin launches a try that runs and has pushed a value.
func (c *crowd) begin(task string) (*actor, error) {
	a, err := c.launch(task, 1, false)
	if err != nil {
		return nil, err
	}
	if end, err := a.report(running, 0, ""); err != nil || end {
		return nil, ended(err, a, "reported RUNNING")
	}
	if taken, err := a.push(fmt.Sprintf(`"%v value"`, a)); err != nil || !taken {
		return nil, ended(err, a, "pushed a value")
	}
	return a, nil
}

func (a *actor) cancelIt() error {
	_, err := answered(a.crowd.ctx, func(ctx context.Context) (*controlv1.CancelTaskResponse, error) {
		return a.control.CancelTask(ctx, &controlv1.CancelTaskRequest{DagId: crowdDag, RunId: runID, TaskId: a.Task})
	})
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	a.crowd.note(a.acts.Cancelled, a.Attempt)
	return nil
}

// cancelled is cancelled, hears of it by a heartbeat, and reports its failure.
func (c *crowd) cancelled(task string) error {
	a, err := c.begin(task)
	if err != nil {
		return err
	}
	if reason, end, err := a.beat(2); err != nil || end {
		return ended(err, a, fmt.Sprint("beat: ", reason))
	}
	if err := a.cancelIt(); err != nil {
		return err
	}
	reason, end, err := a.beat(20)
	switch {
	case err != nil:
		return err
	case !end || reason != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED:
		return fmt.Errorf("%v: cancelled, and heard of it: %v, as %v", a, end, reason)
	}
	_, err = a.report(failed, -1, "stopped")
	return err
}

// finish is cancelled, and succeeds before it hears of it.
func (c *crowd) finish(task string) error {
	a, err := c.begin(task)
	if err != nil {
		return err
	}
	if err := a.cancelIt(); err != nil {
		return err
	}
	_, err = a.report(success, 0, "done before")
	return err
}

// late is superseded, and goes on as if it had not been.
func (c *crowd) late(task string) error {
	a, err := c.begin(task)
	if err != nil {
		return err
	}
	next, err := c.launch(task, 2, true)
	if err != nil {
		return err
	}
	if err := a.tooLate(); err != nil {
		return err
	}
	if err := next.undisturbed(success, 0); err != nil {
		return err
	}
	return a.tooLate()
}

// tooLate does what changes nothing any more.
func (a *actor) tooLate() error {
	taken, err := a.push(`"late"`)
	if err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("%v: its late value was taken", a)
	}
	for _, state := range []agentv1.TaskState{running, success} {
		end, err := a.report(state, 0, "late")
		if err != nil {
			return err
		}
		if !end {
			return fmt.Errorf("%v: its late report of %v was taken", a, state)
		}
	}
	return nil
}

// silent falls silent until a reaper ends it, comes back too late, and is tried again.
func (c *crowd) silent(task string) error {
	a, err := c.begin(task)
	if err != nil {
		return err
	}
	if reason, end, err := a.beat(1); err != nil || end {
		return ended(err, a, fmt.Sprint("beat: ", reason))
	}
	c.note(c.acts.Silent, a.Attempt)
	for state := policyv1.TaskState_TASK_STATE_RUNNING; state == policyv1.TaskState_TASK_STATE_RUNNING; {
		if err := pause(c.ctx, 5*beatEvery); err != nil {
			return fmt.Errorf("%v: silent for as long as the drill took: %w", a, err)
		}
		resp, err := answered(c.ctx, func(ctx context.Context) (*controlv1.ListAttemptsResponse, error) {
			return c.control.ListAttempts(ctx, &controlv1.ListAttemptsRequest{DagId: crowdDag, RunId: runID, TaskId: task})
		})
		if err != nil {
			return err
		}
		state = resp.GetAttempts()[0].GetState()
	}
	if err := a.tooLate(); err != nil {
		return err
	}
	return c.another(task)
}
