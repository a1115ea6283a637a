package server_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/xcom"
)

func (a *agent) report(t *testing.T, s agentv1.TaskState, exit int32) *agentv1.ReportStateResponse {
	t.Helper()
	return must[*agentv1.ReportStateResponse](t)(a.ReportState(a.ctx, &agentv1.ReportStateRequest{State: s, ExitCode: exit}))
}

const (
	running = agentv1.TaskState_TASK_STATE_RUNNING
	success = agentv1.TaskState_TASK_STATE_SUCCESS
	failed  = agentv1.TaskState_TASK_STATE_FAILED
)

func TestState4SupersededAttemptChangesNothing(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleAdmin)
	reader := bash("reader", "true")
	reader.Inputs = map[string]*controlv1.InputSources{"in": {TaskIds: []string{"t"}}}
	o.createRun(bash("t", "true"), reader)
	old := p.launch(o, "t", 1, false)
	old.report(t, running, 0)
	must[*agentv1.PushXComResponse](t)(old.PushXCom(old.ctx, &agentv1.PushXComRequest{Value: []byte("old")}))

	_, err := o.LaunchAttempt(o.ctx, &controlv1.LaunchAttemptRequest{DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 2})
	if status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("a second try beside a live one: %v, want FAILED_PRECONDITION", err)
	}
	young := p.launch(o, "t", 2, true)
	if c := o.lastChange("t", 1); c.GetCause() != controlv1.Cause_CAUSE_SUPERSEDED {
		t.Errorf("the first try ended as %v", c)
	}
	consumer := p.launch(o, "reader", 1, false)
	if _, err := consumer.FetchXCom(consumer.ctx, &agentv1.FetchXComRequest{UpstreamTaskId: "t"}); status.Code(err) != codes.NotFound {
		t.Errorf("XCOM-7: a fetch served the older try: %v", err)
	}
	for _, s := range []agentv1.TaskState{running, success, failed} {
		got := old.report(t, s, 1)
		if !got.GetAcknowledged() || !got.GetShouldTerminate() || got.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED {
			t.Errorf("STATE-4: %v answered %v", s, got)
		}
	}
	beat := old.beat(t)
	if !beat.GetShouldTerminate() || beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED {
		t.Errorf("BEAT-3: %v", beat)
	}
	if _, err := old.PushXCom(old.ctx, &agentv1.PushXComRequest{Value: []byte("late")}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("XCOM-6: %v", err)
	}
	if _, err := old.GetVariables(old.ctx, &agentv1.GetVariablesRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("SECRET-4: %v", err)
	}
	if _, err := old.Register(old.ctx, &agentv1.RegisterRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("REG-3: %v", err)
	}
	young.report(t, running, 0)
	if got := young.report(t, success, 0); !got.GetAcknowledged() || got.GetShouldTerminate() {
		t.Errorf("the newer attempt was touched: %v", got)
	}
}

func TestState3RepeatsAreAcknowledgedAndState5NothingReopens(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	a.report(t, running, 0)
	for range 2 {
		if got := a.report(t, failed, 3); !got.GetAcknowledged() || got.GetShouldTerminate() {
			t.Errorf("STATE-3: %v", got)
		}
	}
	for _, s := range []agentv1.TaskState{running, success} {
		if got := a.report(t, s, 0); !got.GetAcknowledged() || !got.GetShouldTerminate() {
			t.Errorf("STATE-4/5: %v answered %v", s, got)
		}
	}
	p.launch(o, "t", 2, false)
	if got := a.report(t, failed, 3); !got.GetAcknowledged() || got.GetShouldTerminate() {
		t.Errorf("STATE-3: the settling report, repeated after a newer try began, was answered %v", got)
	}
	if c := o.lastChange("t", 1); c.GetState() != policyv1.TaskState_TASK_STATE_FAILED || c.GetExitCode() != 3 {
		t.Errorf("stored %v", c)
	}
}

func TestState11DeadAttemptIsSettledByItsLauncher(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	a.report(t, running, 0)
	settle := func() *controlv1.SettleAttemptResponse {
		return must[*controlv1.SettleAttemptResponse](t)(o.SettleAttempt(o.ctx, &controlv1.SettleAttemptRequest{
			DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 1,
			Cause: controlv1.Cause_CAUSE_LOST, ExitCode: 137, Message: "killed",
		}))
	}
	if got := settle(); !got.GetSettled() || got.GetCause() != controlv1.Cause_CAUSE_LOST {
		t.Errorf("settled as %v", got)
	}
	if got := settle(); got.GetSettled() {
		t.Errorf("settled twice: %v", got)
	}
	if got := a.report(t, success, 0); !got.GetShouldTerminate() || got.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_LOST {
		t.Errorf("the lost agent, come back, was answered %v", got)
	}
}

// TestXcom2LimitIsTheSameOnEveryPath pushes values around the limit, and 1 MiB over.
func TestXcom2LimitIsTheSameOnEveryPath(t *testing.T) {
	for _, limit := range []int{xcom.MaxSizeBytes, xcom.MaxConfigurableSizeBytes} {
		p := start(t, server.Config{XComMaxBytes: limit}, false)
		o := p.operator("acme", auth.RoleOperator)
		o.createRun(bash("t", "true"))
		a := p.launch(o, "t", 1, false)
		for _, c := range []struct {
			size     int
			accepted bool
		}{{0, true}, {limit, true}, {limit + 1, false}, {limit + 1<<20, false}} {
			got, err := a.PushXCom(a.ctx, &agentv1.PushXComRequest{Value: bytes.Repeat([]byte("v"), c.size)})
			if err != nil || got.GetAccepted() != c.accepted {
				t.Errorf("limit %d, value %d: %v %v", limit, c.size, got, err)
			}
			if !c.accepted && got.GetRejectionReason() != "payload_too_large" {
				t.Errorf("limit %d, value %d: rejected for %q", limit, c.size, got.GetRejectionReason())
			}
		}
		_, err := a.PushXCom(a.ctx, &agentv1.PushXComRequest{Value: make([]byte, limit+8<<20)})
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("LIMIT-1: %v", err)
		}
		if _, err := a.Heartbeat(a.ctx, &agentv1.HeartbeatRequest{}); err != nil {
			t.Errorf("LIMIT-1: the connection did not go on: %v", err)
		}
	}
}

// TestLog10DrainAndRestartLoseNothing stops the server under an open stream and a
// watch, starts another on the same directory, and finds everything there.
func TestLog10DrainAndRestartLoseNothing(t *testing.T) {
	dir := t.TempDir()
	p := start(t, server.Config{DataDir: dir}, false)
	o := p.operator("acme", auth.RoleAdmin)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	a.report(t, running, 0)
	watch := must[controlv1.ControlService_WatchRunClient](t)(o.WatchRun(o.ctx, &controlv1.WatchRunRequest{DagId: "dag", RunId: "run"}))
	var revision int64
	for state := policyv1.TaskState_TASK_STATE_UNSPECIFIED; state != policyv1.TaskState_TASK_STATE_RUNNING; {
		resp := must[*controlv1.WatchRunResponse](t)(watch.Recv())
		last := resp.GetChanges()[len(resp.GetChanges())-1]
		state, revision = last.GetState(), last.GetRevision()
	}
	stream := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	for n := int64(1); n <= 3; n++ {
		if err := stream.Send(stdout(n, "line")); err != nil {
			t.Fatal(err)
		}
	}
	awaitAck(t, stream, 3)

	p.stop()
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ended with %v, want UNAVAILABLE", err)
	}
	if err := streamEnd(stream); status.Code(err) != codes.Unavailable {
		t.Errorf("LOG-10: the log stream ended with %v, want UNAVAILABLE", err)
	}

	again := start(t, server.Config{DataDir: dir}, false)
	o2 := again.operator("acme", auth.RoleAdmin)
	if got := len(o2.readLog("t", 1, false)); got != 3 {
		t.Errorf("LOG-1: %d lines after the restart, want 3", got)
	}
	back := &agent{AgentServiceClient: agentv1.NewAgentServiceClient(again.conn), ctx: as(t.Context(), a.token)}
	back.report(t, success, 0)
	resumed := must[controlv1.ControlService_WatchRunClient](t)(o2.WatchRun(o2.ctx, &controlv1.WatchRunRequest{DagId: "dag", RunId: "run", AfterRevision: revision}))
	resp := must[*controlv1.WatchRunResponse](t)(resumed.Recv())
	if c := resp.GetChanges()[0]; c.GetRevision() != revision+1 || c.GetState() != policyv1.TaskState_TASK_STATE_SUCCESS {
		t.Errorf("resumed with %v after revision %d", c, revision)
	}
}

func awaitAck(t *testing.T, stream agentv1.AgentService_StreamLogsClient, through int64) {
	t.Helper()
	for {
		ack := must[*agentv1.LogAck](t)(stream.Recv())
		if ack.GetAcknowledgedThroughLine() == through {
			return
		}
	}
}

func streamEnd(stream agentv1.AgentService_StreamLogsClient) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

func TestLog13NewerStreamTakesOver(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	older := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	if err := older.Send(stdout(1, "one")); err != nil {
		t.Fatal(err)
	}
	awaitAck(t, older, 1)
	newer := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	if err := newer.Send(stdout(2, "two")); err != nil {
		t.Fatal(err)
	}
	if err := streamEnd(older); status.Code(err) != codes.Aborted {
		t.Errorf("LOG-13: the older stream ended with %v, want ABORTED", err)
	}
	if got := through(closeLogs(t, newer), "stdout"); got != 2 {
		t.Errorf("the newer stream is acknowledged through %d, want 2", got)
	}
	if got := len(o.readLog("t", 1, false)); got != 2 {
		t.Errorf("%d lines kept, want 2", got)
	}
}

// TestLog11FollowerSeesLinesWhileTheyFlow gets each line before the next is sent.
func TestLog11FollowerSeesLinesWhileTheyFlow(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleViewer)
	writer := p.operator("acme", auth.RoleOperator)
	writer.createRun(bash("t", "true"))
	a := p.launch(writer, "t", 1, false)
	follow := must[controlv1.ControlService_ReadLogClient](t)(o.ReadLog(o.ctx, &controlv1.ReadLogRequest{
		DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 1, Follow: true,
	}))
	stream := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	for n := int64(1); n <= 3; n++ {
		if err := stream.Send(stdout(n, "line")); err != nil {
			t.Fatal(err)
		}
		resp := must[*controlv1.ReadLogResponse](t)(follow.Recv())
		if got := resp.GetRecords()[0].GetLineNumber(); got != n {
			t.Fatalf("line %d came where %d was sent", got, n)
		}
	}
	closeLogs(t, stream)
	a.report(t, success, 0)
	if _, err := follow.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the follower ended with %v, want the end of the log", err)
	}
}

// TestAuth8TokensAndSecretsReachNoLog reads all that the server logged, at its most
// talkative, and what its metrics page shows.
func TestAuth8TokensAndSecretsReachNoLog(t *testing.T) {
	var logged lockedBuffer
	dir := t.TempDir()
	p := start(t, server.Config{
		DataDir: dir, MetricsAddr: "127.0.0.1:0",
		Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, false)
	o := p.operator("acme", auth.RoleAdmin)
	const secret = "s3cr3t-canary"
	must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: "K", Value: secret}))
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	must[*agentv1.GetVariablesResponse](t)(a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{}))
	aged := a.agedBy(t, dir, 20*24*time.Hour)
	renewed := aged.beat(t).GetRenewedToken()
	if renewed == "" {
		t.Error("no token was renewed")
	}
	if _, err := o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Value: secret}); status.Code(err) != codes.InvalidArgument ||
		strings.Contains(err.Error(), secret) {
		t.Errorf("an invalid secret was answered %v", err)
	}
	if _, err := a.createRun(o); status.Code(err) != codes.Unauthenticated {
		t.Errorf("AUTH-7: %v", err)
	}
	page, err := http.Get("http://" + p.server.MetricsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(page.Body)
	_ = page.Body.Close()
	if err != nil || !bytes.Contains(metrics, []byte(`grpc_server_handled_total{grpc_code="Unauthenticated"`)) {
		t.Errorf("refused calls are not counted (%v)", err)
	}
	p.stop()
	for name, text := range map[string]string{"log": logged.String(), "metrics": string(metrics)} {
		for what, canary := range map[string]string{
			"secret": secret, "agent token": a.token, "aged token": aged.token, "renewed token": renewed,
		} {
			if canary != "" && strings.Contains(text, canary) {
				t.Errorf("AUTH-8: the %s holds the %s", name, what)
			}
		}
	}
	if !strings.Contains(logged.String(), "PutVariable") {
		t.Error("the log that was searched names no call")
	}
}

// createRun calls an operator RPC with an agent's token.
func (a *agent) createRun(o *operator) (*controlv1.CreateRunResponse, error) {
	return o.ControlServiceClient.CreateRun(a.ctx, &controlv1.CreateRunRequest{
		DagId: "dag", RunId: "other", Tasks: []*controlv1.TaskDefinition{bash("t", "true")},
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
