package server_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// These tests are an agent as deployed ones are: written on the generated client
// alone, step by step, with nothing of our own agent.

func bash(id, script string) *controlv1.TaskDefinition {
	return &controlv1.TaskDefinition{TaskId: id, Operator: "bash", Entrypoint: script}
}

// outcome is what a compatibility agent did and saw.
type outcome struct {
	spec        *agentv1.TaskSpec
	inputs      map[string][]byte // absent ones are not in it
	variables   map[string]string
	connections map[string]string
	secretsErrs []error
	acks        []*agentv1.LogAck
	pushed      *agentv1.PushXComResponse
	reported    *agentv1.ReportStateResponse
}

// work is what the "task" of a compatibility agent does.
type work struct {
	lines    []*agentv1.LogLine
	value    string
	exitCode int32
	message  string
}

// live goes through the whole of a deployed agent's life, in its order.
func (a *agent) live(t *testing.T, w work) outcome {
	t.Helper()
	var out outcome
	stream := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	registered := must[*agentv1.RegisterResponse](t)(a.Register(a.ctx, &agentv1.RegisterRequest{AgentVersion: "0.1", Hostname: "pod"}))
	if registered.GetSessionId() != a.instanceID || registered.GetServerTime() == nil {
		t.Errorf("REG-1: registered as %v, want session %s and a server time", registered, a.instanceID)
	}
	out.spec = must[*agentv1.TaskSpec](t)(a.GetTaskSpec(a.ctx, &agentv1.GetTaskSpecRequest{}))
	out.inputs = a.fetchInputs(t, out.spec)
	a.fetchSecrets(&out)
	running := must[*agentv1.ReportStateResponse](t)(a.ReportState(a.ctx, &agentv1.ReportStateRequest{
		State: agentv1.TaskState_TASK_STATE_RUNNING, OccurredAt: timestamppb.Now(),
	}))
	if !running.GetAcknowledged() || running.GetShouldTerminate() {
		t.Fatalf("RUNNING answered %v", running)
	}
	for _, line := range w.lines {
		if err := stream.Send(line); err != nil {
			t.Fatalf("send line: %v", err)
		}
	}
	beat := must[*agentv1.HeartbeatResponse](t)(a.Heartbeat(a.ctx, &agentv1.HeartbeatRequest{SentAt: timestamppb.Now()}))
	if beat.GetShouldTerminate() || beat.GetServerTime() == nil {
		t.Errorf("heartbeat answered %v", beat)
	}
	out.acks = closeLogs(t, stream)
	if w.exitCode == 0 {
		out.pushed = must[*agentv1.PushXComResponse](t)(a.PushXCom(a.ctx, &agentv1.PushXComRequest{
			Value: []byte(w.value), ContentType: "application/json",
		}))
	}
	end := agentv1.TaskState_TASK_STATE_SUCCESS
	if w.exitCode != 0 {
		end = agentv1.TaskState_TASK_STATE_FAILED
	}
	out.reported = must[*agentv1.ReportStateResponse](t)(a.ReportState(a.ctx, &agentv1.ReportStateRequest{
		State: end, ExitCode: w.exitCode, ErrorMessage: w.message, OccurredAt: timestamppb.Now(),
	}))
	return out
}

// fetchInputs leaves an absent input unset; anything but NotFound fails the task.
func (a *agent) fetchInputs(t *testing.T, spec *agentv1.TaskSpec) map[string][]byte {
	t.Helper()
	values := map[string][]byte{}
	for parameter, sources := range spec.GetXcomInputMapping() {
		for i, source := range sources.GetTaskIds() {
			resp, err := a.FetchXCom(a.ctx, &agentv1.FetchXComRequest{UpstreamTaskId: source})
			if status.Code(err) == codes.NotFound {
				continue
			}
			if err != nil {
				t.Fatalf("fetch %s: %v", source, err)
			}
			values[fmt.Sprintf("%s/%d", parameter, i)] = resp.GetValue()
		}
	}
	return values
}

// fetchSecrets takes an error as no more than a warning.
func (a *agent) fetchSecrets(out *outcome) {
	variables, err := a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{})
	out.secretsErrs = append(out.secretsErrs, err)
	out.variables = variables.GetVariables()
	connections, err := a.GetConnections(a.ctx, &agentv1.GetConnectionsRequest{})
	out.secretsErrs = append(out.secretsErrs, err)
	out.connections = connections.GetConnectionUris()
}

// closeLogs half-closes, and only then reads the acks until their end.
func closeLogs(t *testing.T, stream agentv1.AgentService_StreamLogsClient) []*agentv1.LogAck {
	t.Helper()
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var acks []*agentv1.LogAck
	for {
		ack, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return acks
		}
		if err != nil {
			t.Fatalf("log stream ended with %v", err)
		}
		acks = append(acks, ack)
	}
}

func through(acks []*agentv1.LogAck, stream string) int64 {
	last := int64(-1)
	for _, ack := range acks {
		if ack.GetStream() == stream {
			last = ack.GetAcknowledgedThroughLine()
		}
	}
	return last
}

func stdout(n int64, text string) *agentv1.LogLine {
	return &agentv1.LogLine{Time: timestamppb.Now(), Level: agentv1.LogLevel_LOG_LEVEL_INFO, Stream: "stdout", LineNumber: n, Message: text}
}

// lastChange watches the run until the task's attempt has settled.
func (o *operator) lastChange(task string, try int32) *controlv1.TaskChange {
	o.t.Helper()
	watch, err := o.WatchRun(o.ctx, &controlv1.WatchRunRequest{DagId: "dag", RunId: "run"})
	if err != nil {
		o.t.Fatal(err)
	}
	for {
		resp, err := watch.Recv()
		if err != nil {
			o.t.Fatalf("watch: %v", err)
		}
		for _, c := range resp.GetChanges() {
			if c.GetTaskId() == task && c.GetTryNumber() == try && c.GetState() >= policyv1.TaskState_TASK_STATE_SUCCESS {
				return c
			}
		}
	}
}

func TestCompatAgentSucceedsAndHandsItsValueOn(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleAdmin)
	must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: "REGION", Value: "eu 1\n"}))
	must[*controlv1.PutConnectionResponse](t)(o.PutConnection(o.ctx, &controlv1.PutConnectionRequest{ConnectionId: "db", Uri: "postgres://u:p@h/d"}))
	extract := bash("extract", "true")
	extract.Environment = map[string]string{"A": "1", "B": "two words"}
	extract.ExecutionTimeoutSeconds = 90
	extract.CallArgsJson = `{"x":1}`
	report := bash("report", "true")
	report.Inputs = map[string]*controlv1.InputSources{
		"zones": {TaskIds: []string{"extract"}},
		"fan":   {TaskIds: []string{"never", "extract"}},
	}
	o.createRun(extract, bash("never", "true"), report)

	first := p.launch(o, "extract", 1, false).live(t, work{
		lines: []*agentv1.LogLine{stdout(1, "one"), stdout(2, ""), {Stream: "agent", Message: "unnumbered"}},
		value: `{"zones":312}`,
	})
	spec := first.spec
	if spec.GetTenantId() != "acme" || spec.GetDagId() != "dag" || spec.GetRunId() != "run" || spec.GetTaskId() != "extract" ||
		spec.GetTryNumber() != 1 || spec.GetDagVersion() != "7" || spec.GetOperator() != "bash" || spec.GetEntrypoint() != "true" ||
		spec.GetEnvironment()["B"] != "two words" || spec.GetExecutionTimeoutSeconds() != 90 || spec.GetCallArgsJson() != `{"x":1}` {
		t.Errorf("SPEC-1: %v", spec)
	}
	if first.variables["REGION"] != "eu 1\n" || first.connections["db"] != "postgres://u:p@h/d" {
		t.Errorf("SECRET-2: %v %v %v", first.variables, first.connections, first.secretsErrs)
	}
	if got := through(first.acks, "stdout"); got != 2 {
		t.Errorf("LOG-5: stdout acknowledged through %d, want 2 (%v)", got, first.acks)
	}
	if got := through(first.acks, "agent"); got != 0 {
		t.Errorf("LOG-5: agent acknowledged through %d, want 0", got)
	}
	if !first.pushed.GetAccepted() || first.pushed.GetTtlSeconds() != 7*24*3600 {
		t.Errorf("XCOM-8: push answered %v", first.pushed)
	}
	if !first.reported.GetAcknowledged() || first.reported.GetShouldTerminate() {
		t.Errorf("STATE-2: SUCCESS answered %v", first.reported)
	}

	second := p.launch(o, "report", 1, false).live(t, work{value: `"done"`})
	if got := string(second.inputs["zones/0"]); got != `{"zones":312}` {
		t.Errorf("XCOM-4: fetched %q", got)
	}
	if _, present := second.inputs["fan/0"]; present || string(second.inputs["fan/1"]) != `{"zones":312}` {
		t.Errorf("XCOM-5: fan-in %v, want the absent one unset and the order kept", second.inputs)
	}
	if fan := second.spec.GetXcomInputMapping()["fan"].GetTaskIds(); len(fan) != 2 || fan[0] != "never" {
		t.Errorf("SPEC-1: fan-in order %v", fan)
	}
	if c := o.lastChange("report", 1); c.GetState() != policyv1.TaskState_TASK_STATE_SUCCESS {
		t.Errorf("stored %v", c)
	}
}

func TestCompatAgentFailureIsStoredAsReported(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "exit 3"))
	out := p.launch(o, "t", 1, false).live(t, work{
		lines:    []*agentv1.LogLine{stdout(1, "about to fail")},
		exitCode: 3, message: "exit status 3",
	})
	if !out.reported.GetAcknowledged() || out.reported.GetShouldTerminate() {
		t.Errorf("FAILED answered %v", out.reported)
	}
	c := o.lastChange("t", 1)
	if c.GetState() != policyv1.TaskState_TASK_STATE_FAILED || c.GetCause() != controlv1.Cause_CAUSE_EXIT_NONZERO ||
		c.GetExitCode() != 3 || c.GetMessage() != "exit status 3" {
		t.Errorf("STATE-6: stored %v", c)
	}
}

func TestCompatAgentGoesOnWithoutSecretsOverPlaintext(t *testing.T) {
	p := start(t, server.Config{}, true)
	o := p.operator("acme", auth.RoleAdmin)
	if _, err := o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: "K", Value: "canary"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("SECRET-1: a variable went in over plaintext: %v", err)
	}
	o.createRun(bash("t", "true"))
	out := p.launch(o, "t", 1, false).live(t, work{value: "1"})
	for _, err := range out.secretsErrs {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("SECRET-1: %v, want PERMISSION_DENIED", err)
		}
	}
	if !out.reported.GetAcknowledged() || out.reported.GetShouldTerminate() {
		t.Errorf("the task did not end well: %v", out.reported)
	}
}

// TestLog12ClientThatReadsAcksLateNeverHangs sends more than any flow-control
// window holds, and reads no ack before it has half-closed.
func TestLog12ClientThatReadsAcksLateNeverHangs(t *testing.T) {
	const lines = 200_000
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	stream := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	text := strings.Repeat("x", 40)
	at := timestamppb.Now()
	for n := int64(1); n <= lines; n++ {
		if err := stream.Send(&agentv1.LogLine{Time: at, Stream: "stdout", LineNumber: n, Message: text}); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
	}
	acks := closeLogs(t, stream)
	if got := through(acks, "stdout"); got != lines {
		t.Fatalf("LOG-5: acknowledged through %d, want %d", got, lines)
	}
	must[*agentv1.ReportStateResponse](t)(a.ReportState(a.ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_SUCCESS}))
	if got := len(o.readLog("t", 1, true)); got != lines {
		t.Errorf("LOG-1: %d lines stored, want %d", got, lines)
	}
}

// readLog reads a whole log; following, until the server says that it has ended.
func (o *operator) readLog(task string, try int32, follow bool) []*controlv1.LogRecord {
	o.t.Helper()
	stream, err := o.ReadLog(o.ctx, &controlv1.ReadLogRequest{DagId: "dag", RunId: "run", TaskId: task, TryNumber: try, Follow: follow})
	if err != nil {
		o.t.Fatal(err)
	}
	var records []*controlv1.LogRecord
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			o.t.Fatalf("read log: %v", err)
		}
		records = append(records, resp.GetRecords()...)
	}
}
