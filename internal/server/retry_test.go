package server_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// retry retries a task of dag/run after a try.
func (o *operator) retry(task string, try int32) (*controlv1.RetryTaskResponse, error) {
	return o.RetryTask(o.ctx, &controlv1.RetryTaskRequest{DagId: "dag", RunId: "run", TaskId: task, TryNumber: try})
}

// mustRetry retries, and holds the reply against what a first retry is told.
func (o *operator) mustRetry(task string, try int32) {
	o.t.Helper()
	got := must[*controlv1.RetryTaskResponse](o.t)(o.retry(task, try))
	if !got.GetChanged() || got.GetNextTryNumber() != try+1 {
		o.t.Fatalf("retry after try %d answered %v", try, got)
	}
}

// TestState4RetriedAttemptLearnsThatItIsSuperseded has an attempt come back alive
// after its task was retried, before the next try is launched and after.
func TestState4RetriedAttemptLearnsThatItIsSuperseded(t *testing.T) {
	const superseded = agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "sleep 1000"))
	first := p.launch(o, "t", 1, false)
	first.report(t, running, 0)
	o.cancel("t", 0)
	o.mustRetry("t", 1)
	tasks := must[*controlv1.ListTasksResponse](t)(o.ListTasks(o.ctx, &controlv1.ListTasksRequest{DagId: "dag", RunId: "run"}))
	if got := tasks.GetTasks()[0]; got.GetState() != policyv1.TaskState_TASK_STATE_UP_FOR_RETRY || got.GetTryNumber() != 1 {
		t.Errorf("the task shows as %v", got)
	}
	line := stdout(1, "last words") // the same each time, so kept once (LOG-3)
	comesBack := func() {
		t.Helper()
		revision := o.revision()
		if beat := first.beat(t); !beat.GetShouldTerminate() || beat.GetReason() != superseded || beat.GetRenewedToken() != "" {
			t.Errorf("BEAT-3: beat answered %v", beat)
		}
		for _, state := range []agentv1.TaskState{running, success, failed} {
			if got := first.report(t, state, 0); !got.GetAcknowledged() || !got.GetShouldTerminate() || got.GetReason() != superseded {
				t.Errorf("STATE-4: %v answered %v", state, got)
			}
		}
		if _, err := first.PushXCom(first.ctx, &agentv1.PushXComRequest{Value: []byte("late")}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("XCOM-6: push answered %v", err)
		}
		if _, err := first.GetVariables(first.ctx, &agentv1.GetVariablesRequest{}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("SECRET-4: variables answered %v", err)
		}
		stream := must[agentv1.AgentService_StreamLogsClient](t)(first.StreamLogs(first.ctx))
		if err := stream.Send(line); err != nil {
			t.Errorf("LOG-9: %v", err)
		}
		closeLogs(t, stream)
		attempts := o.attempts("t")
		old := attempts[len(attempts)-1]
		if old.GetState() != policyv1.TaskState_TASK_STATE_FAILED || old.GetCause() != controlv1.Cause_CAUSE_SUPERSEDED || o.revision() != revision {
			t.Errorf("STATE-4: stored %v", old)
		}
	}
	comesBack()
	second := p.launch(o, "t", 2, false)
	comesBack()
	if beat := second.beat(t); beat.GetShouldTerminate() {
		t.Errorf("the cancel of the first try reached the second: %v", beat)
	}
	if got := second.report(t, success, 0); got.GetShouldTerminate() {
		t.Errorf("the second try's SUCCESS answered %v", got)
	}
	if records := o.readLog("t", 1, false); len(records) != 1 || records[0].GetMessage() != "last words" {
		t.Errorf("LOG-9: the log is %v", records)
	}
}

func TestRetryTaskAnswers(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"), bash("u", "true"))
	a := p.launch(o, "t", 1, false)
	a.report(t, failed, 3)
	if _, err := o.retry("t", 0); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("after a try that is not the current one: %v", err)
	}
	o.mustRetry("t", 1)
	revision := o.revision()
	if again := must[*controlv1.RetryTaskResponse](t)(o.retry("t", 1)); again.GetChanged() || again.GetNextTryNumber() != 2 || o.revision() != revision {
		t.Errorf("again: %v", again)
	}
	if got := a.report(t, failed, 3); !got.GetAcknowledged() || got.GetShouldTerminate() {
		t.Errorf("STATE-3: the report that ended the first try answered %v", got)
	}
	if got := o.cancel("t", 0); got.GetState() != policyv1.TaskState_TASK_STATE_SKIPPED || got.GetStopBy() != nil {
		t.Errorf("a task that waits for its next try was cancelled as %v", got)
	}
	o.mustRetry("t", 1)
	p.launch(o, "t", 2, false)
	if _, err := o.retry("t", 1); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("after the task moved on: %v", err)
	}
	must[*controlv1.SettleTaskResponse](t)(o.SettleTask(o.ctx, &controlv1.SettleTaskRequest{
		DagId: "dag", RunId: "run", TaskId: "u", State: policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED,
	}))
	o.mustRetry("u", 0)
	p.launch(o, "u", 1, false).report(t, success, 0)
	if _, err := o.retry("none", 0); status.Code(err) != codes.NotFound {
		t.Errorf("a task that is not there: %v", err)
	}
	if _, err := o.retry("t", -1); status.Code(err) != codes.InvalidArgument {
		t.Errorf("after a negative try: %v", err)
	}
}
