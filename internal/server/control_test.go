package server_test

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// fields returns the fields that a refusal names.
func fields(err error) []string {
	var out []string
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				out = append(out, v.GetField())
			}
		}
	}
	return out
}

// reason returns the stable reason of a refusal.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

func TestErr3CreateRunNamesTheFieldAtFault(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	from := func(change func(*controlv1.CreateRunRequest)) *controlv1.CreateRunRequest {
		b := bash("b", "true")
		b.Inputs = map[string]*controlv1.InputSources{"in": {TaskIds: []string{"a"}}}
		req := &controlv1.CreateRunRequest{DagId: "dag", RunId: "run", Tasks: []*controlv1.TaskDefinition{bash("a", "true"), b}}
		change(req)
		return req
	}
	for name, c := range map[string]struct {
		req   *controlv1.CreateRunRequest
		field string
	}{
		"no tasks":        {from(func(r *controlv1.CreateRunRequest) { r.Tasks = nil }), "tasks"},
		"no run id":       {from(func(r *controlv1.CreateRunRequest) { r.RunId = "" }), "run_id"},
		"control in id":   {from(func(r *controlv1.CreateRunRequest) { r.DagId = "a\nb" }), "dag_id"},
		"nested task id":  {from(func(r *controlv1.CreateRunRequest) { r.Tasks[1].TaskId = "" }), "tasks[1].task_id"},
		"duplicate":       {from(func(r *controlv1.CreateRunRequest) { r.Tasks[1].TaskId = "a" }), "tasks[1].task_id"},
		"undeclared":      {from(func(r *controlv1.CreateRunRequest) { r.Tasks[1].Inputs["in"].TaskIds[0] = "x" }), "tasks[1].inputs[in].task_ids[0]"},
		"itself":          {from(func(r *controlv1.CreateRunRequest) { r.Tasks[1].Inputs["in"].TaskIds[0] = "b" }), "tasks[1].inputs[in].task_ids[0]"},
		"no source":       {from(func(r *controlv1.CreateRunRequest) { r.Tasks[1].Inputs["in"] = nil }), "tasks[1].inputs[in].task_ids"},
		"schema no JSON":  {from(func(r *controlv1.CreateRunRequest) { r.Tasks[0].ReturnSchemaJson = "{" }), "tasks[0].return_schema_json"},
		"schema goes on":  {from(func(r *controlv1.CreateRunRequest) { r.Tasks[0].ReturnSchemaJson = "{}{}" }), "tasks[0].return_schema_json"},
		"schema no use":   {from(func(r *controlv1.CreateRunRequest) { r.Tasks[0].ReturnSchemaJson = `{"type":7}` }), "tasks[0].return_schema_json"},
		"schema reaches":  {from(func(r *controlv1.CreateRunRequest) { r.Tasks[0].ReturnSchemaJson = `{"$ref":"file:///etc/passwd"}` }), "tasks[0].return_schema_json"},
		"arguments":       {from(func(r *controlv1.CreateRunRequest) { r.Tasks[0].CallArgsJson = "x" }), "tasks[0].call_args_json"},
		"negative":        {from(func(r *controlv1.CreateRunRequest) { r.Tasks[0].ExecutionTimeoutSeconds = -1 }), "tasks[0].execution_timeout_seconds"},
		"twice a secret":  {from(func(r *controlv1.CreateRunRequest) { r.Tasks[0].Variables = []string{"A", "A"} }), "tasks[0].variables[1]"},
		"environment key": {from(func(r *controlv1.CreateRunRequest) { r.Tasks[0].Environment = map[string]string{"A=B": ""} }), "tasks[0].environment[A=B]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.CreateRun(o.ctx, c.req)
			if status.Code(err) != codes.InvalidArgument {
				t.Fatalf("got %v, want INVALID_ARGUMENT", err)
			}
			if got := fields(err); len(got) == 0 || got[0] != c.field {
				t.Errorf("names %q, want %q", got, c.field)
			}
		})
	}
	// Nothing of all that was kept.
	created := must[*controlv1.CreateRunResponse](t)(o.CreateRun(o.ctx, from(func(*controlv1.CreateRunRequest) {})))
	if !created.GetCreated() {
		t.Error("a refused request had created the run")
	}
}

func TestCreateRunIsIdempotentAndRefusesOtherContent(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	req := &controlv1.CreateRunRequest{DagId: "dag", RunId: "run", Tasks: []*controlv1.TaskDefinition{bash("t", "true")}}
	first := must[*controlv1.CreateRunResponse](t)(o.CreateRun(o.ctx, req))
	again := must[*controlv1.CreateRunResponse](t)(o.CreateRun(o.ctx, req))
	if !first.GetCreated() || again.GetCreated() || !proto.Equal(first.GetCreatedAt(), again.GetCreatedAt()) {
		t.Errorf("first %v, again %v", first, again)
	}
	req.Tasks[0].Entrypoint = "false"
	if _, err := o.CreateRun(o.ctx, req); status.Code(err) != codes.AlreadyExists {
		t.Errorf("other content: %v, want ALREADY_EXISTS", err)
	}
}

func TestIdempotencyKeysTellCallersApart(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	create := func(key string) (*controlv1.CreateRunResponse, error) {
		return o.CreateRun(o.ctx, &controlv1.CreateRunRequest{
			DagId: "dag", RunId: "run", Tasks: []*controlv1.TaskDefinition{bash("t", "true")}, IdempotencyKey: key,
		})
	}
	launch := func(key string) (*controlv1.LaunchAttemptResponse, error) {
		return o.LaunchAttempt(o.ctx, &controlv1.LaunchAttemptRequest{
			DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 1, IdempotencyKey: key,
		})
	}
	for _, bad := range []string{"a\nb", strings.Repeat("k", 251)} {
		_, created := create(bad)
		_, launched := launch(bad)
		for _, err := range []error{created, launched} {
			if got := fields(err); status.Code(err) != codes.InvalidArgument || len(got) != 1 || got[0] != "idempotency_key" {
				t.Errorf("key %.10q: %v names %q", bad, err, got)
			}
		}
	}
	for _, c := range []struct {
		key     string
		created bool
	}{{"ann", true}, {"ann", true}, {"bob", false}, {"", false}} {
		if got := must[*controlv1.CreateRunResponse](t)(create(c.key)); got.GetCreated() != c.created {
			t.Errorf("created by %q: %v", c.key, got)
		}
	}
	first := must[*controlv1.LaunchAttemptResponse](t)(launch("ann"))
	again := must[*controlv1.LaunchAttemptResponse](t)(launch("ann"))
	if first.GetTaskInstanceId() != again.GetTaskInstanceId() || again.GetAgentToken() == "" {
		t.Errorf("again: %v", again.GetTaskInstanceId())
	}
	for _, key := range []string{"bob", ""} {
		resp, err := launch(key)
		if status.Code(err) != codes.FailedPrecondition || reason(err) != "LAUNCHED_BY_ANOTHER" || resp.GetAgentToken() != "" ||
			!strings.Contains(err.Error(), "idempotency_key") || !strings.Contains(err.Error(), "supersede") {
			t.Errorf("launched by %q: %v", key, err)
		}
	}
}

func TestLaunchAndSettleTask(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"), bash("u", "true"))
	first, second := p.launch(o, "t", 1, false), p.launch(o, "t", 1, false)
	if first.instanceID != second.instanceID {
		t.Error("a repeated launch began another attempt")
	}
	launch := func(task string, try int32) error {
		_, err := o.LaunchAttempt(o.ctx, &controlv1.LaunchAttemptRequest{DagId: "dag", RunId: "run", TaskId: task, TryNumber: try})
		return err
	}
	if err := launch("t", 3); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a try left out: %v", err)
	}
	settle := func(s policyv1.TaskState) (*controlv1.SettleTaskResponse, error) {
		return o.SettleTask(o.ctx, &controlv1.SettleTaskRequest{DagId: "dag", RunId: "run", TaskId: "u", State: s})
	}
	if _, err := settle(policyv1.TaskState_TASK_STATE_SUCCESS); status.Code(err) != codes.InvalidArgument {
		t.Errorf("settled as a success: %v", err)
	}
	for _, want := range []bool{true, false} {
		if got := must[*controlv1.SettleTaskResponse](t)(settle(policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED)); got.GetSettled() != want {
			t.Errorf("settled %v, want %v", got, want)
		}
	}
	if err := launch("u", 1); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("launched after it was settled: %v", err)
	}
}

// TestRolesBoundWhatAnOperatorMayDo reads what each RPC takes off its policy, and
// calls it with the role below.
func TestRolesBoundWhatAnOperatorMayDo(t *testing.T) {
	p := start(t, server.Config{}, false)
	viewer, operator := p.operator("acme", auth.RoleViewer), p.operator("acme", auth.RoleOperator)
	operator.createRun(bash("t", "true"))
	p.launch(operator, "t", 1, false)
	_, err := viewer.CreateRun(viewer.ctx, &controlv1.CreateRunRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a viewer created a run: %v", err)
	}
	if _, err := operator.PutVariable(operator.ctx, &controlv1.PutVariableRequest{Key: "K"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an operator wrote a secret: %v", err)
	}
	watch := must[controlv1.ControlService_WatchRunClient](t)(viewer.WatchRun(viewer.ctx, &controlv1.WatchRunRequest{DagId: "dag", RunId: "run"}))
	if _, err := watch.Recv(); err != nil {
		t.Errorf("a viewer may not watch: %v", err)
	}
	if _, err := viewer.GetSecretScope(viewer.ctx, &controlv1.GetSecretScopeRequest{}); err != nil {
		t.Errorf("a viewer may not see the secret scope: %v", err)
	}
	for name, list := range pagers() {
		_, err := list(viewer, 1, "")
		if allowed := name != "audit events"; allowed != (err == nil) || !allowed && status.Code(err) != codes.PermissionDenied {
			t.Errorf("a viewer lists %s: %v", name, err)
		}
	}
	for name, call := range map[string]func() error{
		"a viewer retries a task": func() error {
			_, err := viewer.RetryTask(viewer.ctx, &controlv1.RetryTaskRequest{DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 1})
			return err
		},
		"a viewer cancels a task": func() error {
			_, err := viewer.CancelTask(viewer.ctx, &controlv1.CancelTaskRequest{DagId: "dag", RunId: "run", TaskId: "t"})
			return err
		},
		"a viewer cancels a run": func() error {
			_, err := viewer.CancelRun(viewer.ctx, &controlv1.CancelRunRequest{DagId: "dag", RunId: "run"})
			return err
		},
		"an operator sets the secret scope": func() error {
			_, err := operator.SetSecretScope(operator.ctx, &controlv1.SetSecretScopeRequest{Scope: controlv1.SecretScope_SECRET_SCOPE_DECLARED})
			return err
		},
		"an operator deletes a variable": func() error {
			_, err := operator.DeleteVariable(operator.ctx, &controlv1.DeleteVariableRequest{Key: "K"})
			return err
		},
		"an operator deletes a connection": func() error {
			_, err := operator.DeleteConnection(operator.ctx, &controlv1.DeleteConnectionRequest{ConnectionId: "C"})
			return err
		},
	} {
		if err := call(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := operator.Heartbeat(p); status.Code(err) != codes.Unauthenticated {
		t.Errorf("AUTH-7: an operator token beat: %v", err)
	}
}

// Heartbeat calls an agent RPC with an operator's token.
func (o *operator) Heartbeat(p *plane) (*agentv1.HeartbeatResponse, error) {
	return agentv1.NewAgentServiceClient(p.conn).Heartbeat(o.ctx, &agentv1.HeartbeatRequest{})
}

// TestReadLogOfManyLongLinesFitsAClient reads a log whose lines are as long as any,
// with a client's default message limit.
func TestReadLogOfManyLongLinesFitsAClient(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	stream := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	const lines = 200
	for n := int64(1); n <= lines; n++ {
		if err := stream.Send(stdout(n, strings.Repeat("é", 40_000))); err != nil {
			t.Fatal(err)
		}
	}
	closeLogs(t, stream)
	records := o.readLog("t", 1, false)
	if len(records) != lines {
		t.Fatalf("%d records, want %d", len(records), lines)
	}
	for _, r := range records {
		if !r.GetCut() || len(r.GetMessage()) > 65*1024 || !strings.HasPrefix(r.GetMessage(), "éé") {
			t.Fatalf("LOG-7: cut=%v, %d bytes", r.GetCut(), len(r.GetMessage()))
		}
	}
}
