package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestIso1NoValueCrossesBetweenTenants has 16 goroutines call all nine RPCs for two
// tenants whose every identifier is the same, task instance ids included, and looks
// for one tenant's canary in everything that the other one gets.
func TestIso1NoValueCrossesBetweenTenants(t *testing.T) {
	const workers, rounds = 16, 5
	p := start(t, server.WithTaskInstanceIDs(server.Config{}, twins()), false)
	tenants := []string{"left", "right"}
	var agents [2][workers]*agent
	var operators [2]*operator
	for i, tenant := range tenants {
		o := p.operator(tenant, auth.RoleAdmin)
		operators[i] = o
		prepare(t, p, o, tenant, workers)
		for w := range workers {
			agents[i][w] = p.launch(o, taskName(w), 1, false)
		}
	}
	for w := range workers {
		if l, r := agents[0][w].instanceID, agents[1][w].instanceID; l != r {
			t.Fatalf("the tenants' task instances differ: %s and %s", l, r)
		}
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for round := range rounds {
				i := (w + round) % 2
				exercise(t, agents[i][w], tenants[i], tenants[1-i], round)
			}
		})
	}
	wg.Wait()
	for i, tenant := range tenants {
		for w := range workers {
			checkLog(t, operators[i], taskName(w), tenant, tenants[1-i])
		}
	}
	settleApart(t, agents[0][0], operators[0], operators[1])
}

// twins returns ids that come round again for a second tenant that creates the
// same tasks in the same order.
func twins() func() string {
	var mu sync.Mutex
	n := 0
	const perTenant = 17 // the source, and one task a worker
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("twin-%02d", (n-1)%perTenant)
	}
}

func taskName(w int) string { return fmt.Sprintf("task-%02d", w) }

// prepare gives a tenant secrets, a run, and a source whose value the others read,
// each with its canary.
func prepare(t *testing.T, p *plane, o *operator, tenant string, workers int) {
	t.Helper()
	must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: "K", Value: canary(tenant)}))
	must[*controlv1.PutConnectionResponse](t)(o.PutConnection(o.ctx, &controlv1.PutConnectionRequest{ConnectionId: "C", Uri: "x://" + canary(tenant)}))
	tasks := []*controlv1.TaskDefinition{bash("source", canary(tenant))}
	for w := range workers {
		task := bash(taskName(w), canary(tenant))
		task.Inputs = map[string]*controlv1.InputSources{"in": {TaskIds: []string{"source"}}}
		tasks = append(tasks, task)
	}
	o.createRun(tasks...)
	source := p.launch(o, "source", 1, false)
	must[*agentv1.PushXComResponse](t)(source.PushXCom(source.ctx, &agentv1.PushXComRequest{Value: []byte(canary(tenant))}))
	must[*agentv1.ReportStateResponse](t)(source.ReportState(source.ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_SUCCESS}))
}

func canary(tenant string) string { return "canary-of-" + tenant }

// exercise calls every RPC once and checks that all it gets is the tenant's own.
func exercise(t *testing.T, a *agent, own, other string, round int) {
	ctx := a.ctx
	saw := func(rpc, text string, err error) {
		if err != nil {
			t.Errorf("%s as %s: %v", rpc, own, err)
		}
		if strings.Contains(text, canary(other)) {
			t.Errorf("ISO-1: %s as %s returned %q", rpc, own, text)
		}
	}
	owned := func(rpc, text string, err error) {
		saw(rpc, text, err)
		if !strings.Contains(text, canary(own)) {
			t.Errorf("%s as %s returned %q, without its own canary", rpc, own, text)
		}
	}
	registered, err := a.Register(ctx, &agentv1.RegisterRequest{})
	saw("Register", registered.String(), err)
	spec, err := a.GetTaskSpec(ctx, &agentv1.GetTaskSpecRequest{})
	owned("GetTaskSpec", spec.GetEntrypoint(), err)
	if spec.GetTenantId() != own {
		t.Errorf("ISO-1: specification of tenant %q as %s", spec.GetTenantId(), own)
	}
	fetched, err := a.FetchXCom(ctx, &agentv1.FetchXComRequest{UpstreamTaskId: "source"})
	owned("FetchXCom", string(fetched.GetValue()), err)
	variables, err := a.GetVariables(ctx, &agentv1.GetVariablesRequest{})
	owned("GetVariables", variables.GetVariables()["K"], err)
	connections, err := a.GetConnections(ctx, &agentv1.GetConnectionsRequest{})
	owned("GetConnections", connections.GetConnectionUris()["C"], err)
	running, err := a.ReportState(ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_RUNNING})
	saw("ReportState", running.String(), err)
	beat, err := a.Heartbeat(ctx, &agentv1.HeartbeatRequest{})
	saw("Heartbeat", beat.String(), err)
	if beat.GetShouldTerminate() || running.GetShouldTerminate() {
		t.Errorf("ISO-1: %s was told to terminate: %v %v", own, beat, running)
	}
	pushed, err := a.PushXCom(ctx, &agentv1.PushXComRequest{Value: []byte(canary(own))})
	saw("PushXCom", pushed.String(), err)
	saw("StreamLogs", "", logOneLine(ctx, a, canary(own), round))
}

// logOneLine opens a stream, logs a line that no later stream takes for a resend,
// and waits for the end.
func logOneLine(ctx context.Context, a *agent, text string, round int) error {
	stream, err := a.StreamLogs(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&agentv1.LogLine{Stream: "agent", Message: fmt.Sprintf("%s %d", text, round)}); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); err != nil {
			if status.Code(err) == codes.OK || err.Error() == "EOF" {
				return nil
			}
			return err
		}
	}
}

func checkLog(t *testing.T, o *operator, task, own, other string) {
	t.Helper()
	records := o.readLog(task, 1, false)
	if len(records) == 0 {
		t.Errorf("the log of %s's %s is empty", own, task)
	}
	for _, r := range records {
		if strings.Contains(r.GetMessage(), canary(other)) || !strings.Contains(r.GetMessage(), canary(own)) {
			t.Errorf("ISO-1: the log of %s's %s holds %q", own, task, r.GetMessage())
		}
	}
}

// settleApart settles one tenant's attempt, and finds the other's twin untouched.
func settleApart(t *testing.T, a *agent, mine, twins *operator) {
	t.Helper()
	must[*agentv1.ReportStateResponse](t)(a.ReportState(a.ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_FAILED, ExitCode: 1}))
	if c := mine.lastChange(taskName(0), 1); c.GetState() != policyv1.TaskState_TASK_STATE_FAILED {
		t.Errorf("own attempt stored as %v", c)
	}
	settled := must[*controlv1.SettleAttemptResponse](t)(twins.SettleAttempt(twins.ctx, &controlv1.SettleAttemptRequest{
		DagId: "dag", RunId: "run", TaskId: taskName(0), TryNumber: 1, Cause: controlv1.Cause_CAUSE_LOST,
	}))
	if !settled.GetSettled() {
		t.Errorf("ISO-1: the twin had ended already: %v", settled)
	}
}

// TestIso3And4ForeignAndMissingLookAlike compares what an operator is told of another
// tenant's run with what it is told of none.
func TestIso3And4ForeignAndMissingLookAlike(t *testing.T) {
	p := start(t, server.Config{}, false)
	left, right := p.operator("left", auth.RoleAdmin), p.operator("right", auth.RoleAdmin)
	left.createRun(bash("t", "true"))
	a := p.launch(left, "t", 1, false)
	must[*agentv1.PushXComResponse](t)(a.PushXCom(a.ctx, &agentv1.PushXComRequest{Value: []byte("left")}))
	must[*controlv1.PutVariableResponse](t)(left.PutVariable(left.ctx, &controlv1.PutVariableRequest{Key: "run", Value: "left"}))
	must[*controlv1.PutConnectionResponse](t)(left.PutConnection(left.ctx, &controlv1.PutConnectionRequest{ConnectionId: "run", Uri: "left"}))
	calls := map[string]func(run string) error{
		"LaunchAttempt": func(run string) error {
			_, err := right.LaunchAttempt(right.ctx, &controlv1.LaunchAttemptRequest{DagId: "dag", RunId: run, TaskId: "t", TryNumber: 1})
			return err
		},
		"SettleAttempt": func(run string) error {
			_, err := right.SettleAttempt(right.ctx, &controlv1.SettleAttemptRequest{DagId: "dag", RunId: run, TaskId: "t", TryNumber: 1, Cause: controlv1.Cause_CAUSE_LOST})
			return err
		},
		"SettleTask": func(run string) error {
			_, err := right.SettleTask(right.ctx, &controlv1.SettleTaskRequest{DagId: "dag", RunId: run, TaskId: "t", State: policyv1.TaskState_TASK_STATE_SKIPPED})
			return err
		},
		"RetryTask": func(run string) error {
			_, err := right.RetryTask(right.ctx, &controlv1.RetryTaskRequest{DagId: "dag", RunId: run, TaskId: "t", TryNumber: 1})
			return err
		},
		"CancelTask": func(run string) error {
			_, err := right.CancelTask(right.ctx, &controlv1.CancelTaskRequest{DagId: "dag", RunId: run, TaskId: "t"})
			return err
		},
		"CancelRun": func(run string) error {
			_, err := right.CancelRun(right.ctx, &controlv1.CancelRunRequest{DagId: "dag", RunId: run})
			return err
		},
		"GetRun": func(run string) error {
			_, err := right.GetRun(right.ctx, &controlv1.GetRunRequest{DagId: "dag", RunId: run})
			return err
		},
		"ListTasks": func(run string) error {
			_, err := right.ListTasks(right.ctx, &controlv1.ListTasksRequest{DagId: "dag", RunId: run})
			return err
		},
		"ListAttempts": func(run string) error {
			_, err := right.ListAttempts(right.ctx, &controlv1.ListAttemptsRequest{DagId: "dag", RunId: run, TaskId: "t"})
			return err
		},
		"GetXCom": func(run string) error {
			_, err := right.GetXCom(right.ctx, &controlv1.GetXComRequest{DagId: "dag", RunId: run, TaskId: "t"})
			return err
		},
		"DeleteVariable": func(run string) error { // "run" is one of the other tenant's
			_, err := right.DeleteVariable(right.ctx, &controlv1.DeleteVariableRequest{Key: run})
			return err
		},
		"DeleteConnection": func(run string) error { // as above
			_, err := right.DeleteConnection(right.ctx, &controlv1.DeleteConnectionRequest{ConnectionId: run})
			return err
		},
		"WatchRun": func(run string) error {
			stream, err := right.WatchRun(right.ctx, &controlv1.WatchRunRequest{DagId: "dag", RunId: run})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"ReadLog": func(run string) error {
			stream, err := right.ReadLog(right.ctx, &controlv1.ReadLogRequest{DagId: "dag", RunId: run, TaskId: "t", TryNumber: 1})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	}
	for name, call := range calls {
		foreign, missing := status.Convert(call("run")), status.Convert(call("none"))
		if foreign.Code() != codes.NotFound || foreign.Code() != missing.Code() || foreign.Message() != missing.Message() ||
			len(foreign.Details()) != len(missing.Details()) {
			t.Errorf("%s: foreign %v, missing %v: want both NOT_FOUND and alike", name, foreign, missing)
		}
	}
	seesNothing(t, right)
	// ISO-4: after all that the foreign attempt is as it was.
	if got := left.attempts("t")[0]; got.GetCancelRequestedAt() != nil {
		t.Errorf("the attempt was cancelled: %v", got)
	}
	if got := must[*agentv1.GetVariablesResponse](t)(a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{})); got.GetVariables()["run"] != "left" {
		t.Errorf("the variable is gone: %v", got)
	}
	if s := must[*controlv1.SettleAttemptResponse](t)(left.SettleAttempt(left.ctx, &controlv1.SettleAttemptRequest{
		DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 1, Cause: controlv1.Cause_CAUSE_LOST,
	})); !s.GetSettled() {
		t.Errorf("the attempt had been changed: %v", s)
	}
}

// seesNothing holds that a tenant that has nothing is told of nothing (ISO-1).
func seesNothing(t *testing.T, o *operator) {
	t.Helper()
	for name, n := range map[string]int{
		"runs":          len(must[*controlv1.ListRunsResponse](t)(o.ListRuns(o.ctx, &controlv1.ListRunsRequest{})).GetRuns()),
		"runs of a DAG": len(must[*controlv1.ListRunsResponse](t)(o.ListRuns(o.ctx, &controlv1.ListRunsRequest{DagId: "dag"})).GetRuns()),
		"variables":     len(must[*controlv1.ListVariablesResponse](t)(o.ListVariables(o.ctx, &controlv1.ListVariablesRequest{})).GetVariables()),
		"connections":   len(must[*controlv1.ListConnectionsResponse](t)(o.ListConnections(o.ctx, &controlv1.ListConnectionsRequest{})).GetConnections()),
		"audit events":  len(must[*controlv1.ListAuditEventsResponse](t)(o.ListAuditEvents(o.ctx, &controlv1.ListAuditEventsRequest{})).GetEvents()),
	} {
		if n != 0 {
			t.Errorf("%d %s of another tenant", n, name)
		}
	}
}
