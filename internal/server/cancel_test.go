package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/server"
)

// cancel cancels a task of dag/run; within 0: by default.
func (o *operator) cancel(task string, within time.Duration) *controlv1.CancelTaskResponse {
	o.t.Helper()
	req := &controlv1.CancelTaskRequest{DagId: "dag", RunId: "run", TaskId: task}
	if within > 0 {
		req.StopWithin = durationpb.New(within)
	}
	return must[*controlv1.CancelTaskResponse](o.t)(o.CancelTask(o.ctx, req))
}

// attempts lists the attempts of a task of dag/run.
func (o *operator) attempts(task string) []*controlv1.Attempt {
	o.t.Helper()
	resp := must[*controlv1.ListAttemptsResponse](o.t)(o.ListAttempts(o.ctx, &controlv1.ListAttemptsRequest{DagId: "dag", RunId: "run", TaskId: task}))
	return resp.GetAttempts()
}

// revision returns how many changes dag/run has seen.
func (o *operator) revision() int64 {
	o.t.Helper()
	resp := must[*controlv1.GetRunResponse](o.t)(o.GetRun(o.ctx, &controlv1.GetRunRequest{DagId: "dag", RunId: "run"}))
	return resp.GetRun().GetRevision()
}

func TestBeat6CancelReachesTheAgentWithItsDeadline(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "sleep 1000"))
	a := p.launch(o, "t", 1, false)
	a.report(t, running, 0)
	if beat := a.beat(t); beat.GetShouldTerminate() || beat.GetStopBy() != nil {
		t.Fatalf("before the cancel: %v", beat)
	}
	first := o.cancel("t", 0)
	if first.GetState() != policyv1.TaskState_TASK_STATE_RUNNING {
		t.Errorf("cancelled as %v", first)
	}
	asked := o.attempts("t")[0].GetCancelRequestedAt().AsTime()
	if got := first.GetStopBy().AsTime().Sub(asked); got != domain.StopWithin {
		t.Errorf("has %v to stop, want %v", got, domain.StopWithin)
	}
	for _, within := range []time.Duration{time.Hour, time.Second} {
		again := o.cancel("t", within)
		if later := within > domain.StopWithin; later != proto.Equal(first.GetStopBy(), again.GetStopBy()) {
			t.Errorf("asked again, within %v: %v; at first %v", within, again, first)
		}
		beat := a.beat(t)
		if !beat.GetShouldTerminate() || beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED ||
			!proto.Equal(beat.GetStopBy(), again.GetStopBy()) || beat.GetRenewedToken() != "" {
			t.Errorf("beat answered %v, want %v", beat, again)
		}
	}
	if again := o.attempts("t")[0].GetCancelRequestedAt().AsTime(); !again.Equal(asked) {
		t.Errorf("asked at %v, and then it was at %v", asked, again)
	}
}

func TestState10ReportsWhileACancelIsPending(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	type outcome struct {
		state agentv1.TaskState
		code  int32
		want  policyv1.TaskState
		cause controlv1.Cause
	}
	outcomes := []outcome{
		{success, 0, policyv1.TaskState_TASK_STATE_SUCCESS, controlv1.Cause_CAUSE_UNSPECIFIED},
		{failed, -15, policyv1.TaskState_TASK_STATE_FAILED, controlv1.Cause_CAUSE_CANCELLED},
		{agentv1.TaskState_TASK_STATE_SKIPPED, 0, policyv1.TaskState_TASK_STATE_SKIPPED, controlv1.Cause_CAUSE_UNSPECIFIED},
	}
	var tasks []*controlv1.TaskDefinition
	for i := range 2 * len(outcomes) {
		tasks = append(tasks, bash(taskName(i), "true"))
	}
	o.createRun(tasks...)
	for i := range tasks {
		want, task := outcomes[i/2], taskName(i)
		a := p.launch(o, task, 1, false)
		if i%2 == 0 { // else the agent has not begun
			a.report(t, running, 0)
		}
		before := o.cancel(task, 0)
		revision := o.revision()
		if got := a.report(t, running, 0); got.GetAcknowledged() || !got.GetShouldTerminate() ||
			got.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED {
			t.Errorf("RUNNING answered %v", got)
		}
		if got := o.attempts(task)[0]; got.GetState() != before.GetState() || o.revision() != revision {
			t.Errorf("RUNNING stored %v", got)
		}
		if got := a.report(t, want.state, want.code); !got.GetAcknowledged() || got.GetShouldTerminate() {
			t.Errorf("%v answered %v", want.state, got)
		}
		if c := o.lastChange(task, 1); c.GetState() != want.want || c.GetCause() != want.cause || c.GetExitCode() != want.code {
			t.Errorf("%v stored as %v", want.state, c)
		}
		if after := o.cancel(task, 0); after.GetState() != want.want || after.GetStopBy() != nil {
			t.Errorf("a settled task cancelled: %v", after)
		}
	}
}

func TestXcom6PushWhileACancelIsPendingIsTaken(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	a.report(t, running, 0)
	o.cancel("t", 0)
	pushed := must[*agentv1.PushXComResponse](t)(a.PushXCom(a.ctx, &agentv1.PushXComRequest{Value: []byte(`"done"`), ContentType: "application/json"}))
	if !pushed.GetAccepted() {
		t.Fatalf("push answered %v", pushed)
	}
	a.report(t, success, 0)
	value := must[*controlv1.GetXComResponse](t)(o.GetXCom(o.ctx, &controlv1.GetXComRequest{DagId: "dag", RunId: "run", TaskId: "t"}))
	if string(value.GetValue()) != `"done"` {
		t.Errorf("stored %q", value.GetValue())
	}
}

// TestCancelOfAQueuedAttemptWaitsForItsEnd holds that a cancel settles no attempt:
// whoever launched it does, and then the cause is what it says.
func TestCancelOfAQueuedAttemptWaitsForItsEnd(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	if got := o.cancel("t", 0); got.GetState() != policyv1.TaskState_TASK_STATE_QUEUED || got.GetStopBy() == nil {
		t.Fatalf("cancelled as %v", got)
	}
	settled := must[*controlv1.SettleAttemptResponse](t)(o.SettleAttempt(o.ctx, &controlv1.SettleAttemptRequest{
		DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 1, Cause: controlv1.Cause_CAUSE_CANCELLED,
	}))
	if !settled.GetSettled() || settled.GetCause() != controlv1.Cause_CAUSE_CANCELLED {
		t.Errorf("settled as %v", settled)
	}
	for _, late := range []agentv1.TaskState{running, success, failed} {
		if got := a.report(t, late, 0); !got.GetAcknowledged() || !got.GetShouldTerminate() ||
			got.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED {
			t.Errorf("STATE-4: %v after that answered %v", late, got)
		}
	}
}

func TestCancelRunOfAMixedRun(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("idle", "true"), bash("idle too", "true"), bash("queued", "true"), bash("running", "true"),
		bash("done", "true"), bash("failed", "true"), bash("blocked", "true"))
	agents := map[string]*agent{}
	for _, task := range []string{"queued", "running", "done", "failed"} {
		agents[task] = p.launch(o, task, 1, false)
	}
	for _, task := range []string{"running", "done", "failed"} {
		agents[task].report(t, running, 0)
	}
	agents["done"].report(t, success, 0)
	agents["failed"].report(t, failed, 1)
	must[*controlv1.SettleTaskResponse](t)(o.SettleTask(o.ctx, &controlv1.SettleTaskRequest{
		DagId: "dag", RunId: "run", TaskId: "blocked", State: policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED,
	}))
	for _, skipped := range []int32{2, 0} {
		got := must[*controlv1.CancelRunResponse](t)(o.CancelRun(o.ctx, &controlv1.CancelRunRequest{DagId: "dag", RunId: "run"}))
		if got.GetPending() != 2 || got.GetSkipped() != skipped {
			t.Errorf("cancel answered %v, want 2 pending and %d skipped", got, skipped)
		}
	}
	for _, task := range []string{"queued", "running"} {
		if beat := agents[task].beat(t); beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED || beat.GetStopBy() == nil {
			t.Errorf("%s: beat answered %v", task, beat)
		}
	}
	for _, task := range []string{"done", "failed"} {
		if beat := agents[task].beat(t); beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_FINISHED {
			t.Errorf("%s: beat answered %v", task, beat)
		}
	}
	run := must[*controlv1.GetRunResponse](t)(o.GetRun(o.ctx, &controlv1.GetRunRequest{DagId: "dag", RunId: "run"})).GetRun()
	counts := map[string]int32{}
	for _, c := range run.GetTasks() {
		counts[c.GetState().String()] = c.GetCount()
	}
	if diff := cmp.Diff(map[string]int32{
		"TASK_STATE_QUEUED": 1, "TASK_STATE_RUNNING": 1, "TASK_STATE_SUCCESS": 1, "TASK_STATE_FAILED": 1,
		"TASK_STATE_SKIPPED": 2, "TASK_STATE_UPSTREAM_FAILED": 1,
	}, counts); diff != "" {
		t.Errorf("counts differ (-want +got):\n%s", diff)
	}
	// 4 launches, 3 RUNNING, 2 ends, 1 settled, 2 skipped.
	if run.GetRevision() != 12 || run.GetDagVersion() != "7" || run.GetCreatedAt() == nil {
		t.Errorf("run %v", run)
	}
}

func TestCancelRefusesADeadlineOutOfRange(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	for _, within := range []time.Duration{-time.Nanosecond, 24*time.Hour + time.Nanosecond} {
		_, task := o.CancelTask(o.ctx, &controlv1.CancelTaskRequest{DagId: "dag", RunId: "run", TaskId: "t", StopWithin: durationpb.New(within)})
		_, run := o.CancelRun(o.ctx, &controlv1.CancelRunRequest{DagId: "dag", RunId: "run", StopWithin: durationpb.New(within)})
		for _, err := range []error{task, run} {
			if status.Code(err) != codes.InvalidArgument || fmt.Sprint(fields(err)) != "[stop_within]" {
				t.Errorf("within %v: %v", within, err)
			}
		}
	}
	if got := o.revision(); got != 0 {
		t.Errorf("ISO-4: a refused cancel changed the run: revision %d", got)
	}
}
