package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// createRuns creates runs of one task from the number from to the number to.
func (o *operator) createRuns(dag string, from, to int) {
	o.t.Helper()
	for i := from; i <= to; i++ {
		must[*controlv1.CreateRunResponse](o.t)(o.CreateRun(o.ctx, &controlv1.CreateRunRequest{
			DagId: dag, RunId: fmt.Sprintf("run %03d", i), Tasks: []*controlv1.TaskDefinition{bash("t", "true")},
		}))
	}
}

// TestListRunsPagesThroughWhileRunsAreAdded sees each of the 250 runs that were
// there at the beginning once, the newest first, and none of those added since.
func TestListRunsPagesThroughWhileRunsAreAdded(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	p.operator("other", auth.RoleOperator).createRuns("dag", 1, 20)
	o.createRuns("dag", 1, 250)
	var seen []string
	var sizes []int
	for token, added := "", 251; ; added++ {
		page := must[*controlv1.ListRunsResponse](t)(o.ListRuns(o.ctx, &controlv1.ListRunsRequest{PageToken: token}))
		sizes = append(sizes, len(page.GetRuns()))
		for _, run := range page.GetRuns() {
			if n := run.GetTasks(); len(n) != 1 || n[0].GetState() != policyv1.TaskState_TASK_STATE_NONE || n[0].GetCount() != 1 {
				t.Fatalf("run %v", run)
			}
			seen = append(seen, run.GetRunId())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
		o.createRuns("dag", added, added)
	}
	if !slices.Equal(sizes, []int{100, 100, 50}) {
		t.Errorf("pages of %v", sizes)
	}
	for i, run := range seen {
		if want := fmt.Sprintf("run %03d", 250-i); run != want {
			t.Fatalf("%q stands at %d, want %q", run, i, want)
		}
	}
	last := must[*controlv1.ListRunsResponse](t)(o.ListRuns(o.ctx, &controlv1.ListRunsRequest{DagId: "dag", PageSize: 252}))
	if len(last.GetRuns()) != 252 || last.GetNextPageToken() != "" {
		t.Errorf("%d runs and token %q, want all 252 and no more", len(last.GetRuns()), last.GetNextPageToken())
	}
}

// pager calls one list with a page size and token, and returns the next token.
type pager func(o *operator, size int32, token string) (string, error)

func pagers() map[string]pager {
	return map[string]pager{
		"runs": func(o *operator, size int32, token string) (string, error) {
			r, err := o.ListRuns(o.ctx, &controlv1.ListRunsRequest{PageSize: size, PageToken: token})
			return r.GetNextPageToken(), err
		},
		"runs of a DAG": func(o *operator, size int32, token string) (string, error) {
			r, err := o.ListRuns(o.ctx, &controlv1.ListRunsRequest{DagId: "dag", PageSize: size, PageToken: token})
			return r.GetNextPageToken(), err
		},
		"tasks": func(o *operator, size int32, token string) (string, error) {
			r, err := o.ListTasks(o.ctx, &controlv1.ListTasksRequest{DagId: "dag", RunId: "run", PageSize: size, PageToken: token})
			return r.GetNextPageToken(), err
		},
		"attempts": func(o *operator, size int32, token string) (string, error) {
			r, err := o.ListAttempts(o.ctx, &controlv1.ListAttemptsRequest{DagId: "dag", RunId: "run", TaskId: "t", PageSize: size, PageToken: token})
			return r.GetNextPageToken(), err
		},
		"variables": func(o *operator, size int32, token string) (string, error) {
			r, err := o.ListVariables(o.ctx, &controlv1.ListVariablesRequest{PageSize: size, PageToken: token})
			return r.GetNextPageToken(), err
		},
		"connections": func(o *operator, size int32, token string) (string, error) {
			r, err := o.ListConnections(o.ctx, &controlv1.ListConnectionsRequest{PageSize: size, PageToken: token})
			return r.GetNextPageToken(), err
		},
		"audit events": func(o *operator, size int32, token string) (string, error) {
			r, err := o.ListAuditEvents(o.ctx, &controlv1.ListAuditEventsRequest{PageSize: size, PageToken: token})
			return r.GetNextPageToken(), err
		},
	}
}

// furnish gives a tenant two of everything that can be listed.
func furnish(p *plane, o *operator) {
	p.t.Helper()
	o.createRun(bash("t", "true"), bash("u", "true"))
	o.createRuns("dag", 1, 1)
	p.launch(o, "t", 1, false)
	p.launch(o, "t", 2, true)
	for _, name := range []string{"a", "b"} {
		must[*controlv1.PutVariableResponse](p.t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: name, Value: "v"}))
		must[*controlv1.PutConnectionResponse](p.t)(o.PutConnection(o.ctx, &controlv1.PutConnectionRequest{ConnectionId: name, Uri: "x://"}))
	}
}

// TestErr3PageTokenOfAnotherListIsRefused tries every list's token on every other
// list and in another tenant, and what is no token at all.
func TestErr3PageTokenOfAnotherListIsRefused(t *testing.T) {
	p := start(t, server.Config{}, false)
	o, other := p.operator("acme", auth.RoleAdmin), p.operator("other", auth.RoleAdmin)
	furnish(p, o)
	furnish(p, other)
	tokens := map[string]string{}
	for name, list := range pagers() {
		token, err := list(o, 1, "")
		if err != nil || token == "" {
			t.Fatalf("%s: token %q, %v", name, token, err)
		}
		if _, err := list(o, 1, token); err != nil {
			t.Errorf("%s does not take its own token: %v", name, err)
		}
		tokens[name] = token
	}
	refused := func(what string, list pager, o *operator, token string) {
		t.Helper()
		if _, err := list(o, 1, token); status.Code(err) != codes.InvalidArgument || fmt.Sprint(fields(err)) != "[page_token]" {
			t.Errorf("%s: %v, want INVALID_ARGUMENT of page_token", what, err)
		}
	}
	for name, list := range pagers() {
		for of, token := range tokens {
			if of != name {
				refused(name+" with the token of "+of, list, o, token)
			}
		}
		token := tokens[name]
		refused(name+" of another tenant", list, other, token)
		for _, odd := range []string{"x", "=", "ä", token[1:], token[:len(token)-2], token + "AAAA", token + "=", "B" + token[1:], strings.Repeat("A", 2001)} {
			if odd != token {
				refused(name+" with "+odd[:min(len(odd), 30)], list, o, odd)
			}
		}
	}
	for name, list := range pagers() {
		for _, size := range []int32{-1, 1001} {
			if _, err := list(o, size, ""); status.Code(err) != codes.InvalidArgument || fmt.Sprint(fields(err)) != "[page_size]" {
				t.Errorf("%s in pages of %d: %v", name, size, err)
			}
		}
	}
}

func TestListTasksNamesWhatEachComesAfter(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	last := bash("z", "true")
	last.Operator = "python"
	last.Inputs = map[string]*controlv1.InputSources{"many": {TaskIds: []string{"m", "a", "m"}}, "one": {TaskIds: []string{"a"}}}
	o.createRun(last, bash("m", "true"), bash("a", "true"))
	a := p.launch(o, "a", 1, false)
	var tasks []*controlv1.Task
	for token := ""; ; {
		page := must[*controlv1.ListTasksResponse](t)(o.ListTasks(o.ctx, &controlv1.ListTasksRequest{DagId: "dag", RunId: "run", PageSize: 2, PageToken: token}))
		tasks = append(tasks, page.GetTasks()...)
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(tasks) != 3 || tasks[0].GetTaskId() != "a" || tasks[1].GetTaskId() != "m" || tasks[2].GetTaskId() != "z" {
		t.Fatalf("tasks %v", tasks)
	}
	if got := tasks[0]; got.GetTaskInstanceId() != a.instanceID || got.GetState() != policyv1.TaskState_TASK_STATE_QUEUED || got.GetTryNumber() != 1 || got.GetOperator() != "bash" {
		t.Errorf("task %v", got)
	}
	if got := tasks[2]; !slices.Equal(got.GetUpstreamTaskIds(), []string{"a", "m"}) || got.GetOperator() != "python" ||
		got.GetState() != policyv1.TaskState_TASK_STATE_NONE || got.GetTryNumber() != 0 {
		t.Errorf("task %v", got)
	}
}

func TestListAttemptsTellsTheWholeLife(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	must[*agentv1.RegisterResponse](t)(a.Register(a.ctx, &agentv1.RegisterRequest{AgentVersion: "1.2", Hostname: "pod-7"}))
	a.report(t, running, 0)
	a.beat(t)
	o.cancel("t", 0)
	must[*agentv1.ReportStateResponse](t)(a.ReportState(a.ctx, &agentv1.ReportStateRequest{
		State: failed, ExitCode: -15, ErrorMessage: "stopped",
	}))
	p.launch(o, "t", 2, false)
	attempts := o.attempts("t")
	if len(attempts) != 2 || attempts[0].GetTryNumber() != 2 || attempts[1].GetTryNumber() != 1 {
		t.Fatalf("attempts %v", attempts)
	}
	if got := attempts[0]; got.GetState() != policyv1.TaskState_TASK_STATE_QUEUED || got.GetQueuedAt() == nil || got.GetStartedAt() != nil ||
		got.GetEndedAt() != nil || got.GetHeartbeatAt() != nil || got.GetCancelRequestedAt() != nil || got.GetStopBy() != nil || got.GetHostname() != "" {
		t.Errorf("attempt 2: %v", got)
	}
	if got := attempts[1]; got.GetState() != policyv1.TaskState_TASK_STATE_FAILED || got.GetCause() != controlv1.Cause_CAUSE_CANCELLED ||
		got.GetExitCode() != -15 || got.GetMessage() != "stopped" || got.GetQueuedAt() == nil || got.GetStartedAt() == nil || got.GetEndedAt() == nil ||
		got.GetHeartbeatAt() == nil || got.GetCancelRequestedAt() == nil || got.GetStopBy() == nil ||
		got.GetAgentVersion() != "1.2" || got.GetHostname() != "pod-7" {
		t.Errorf("attempt 1: %v", got)
	}
}

// TestListAttemptsWithLongMessagesInMorePages asks for all of a list at once that no
// one message should hold.
func TestListAttemptsWithLongMessagesInMorePages(t *testing.T) {
	const tries = 80 // of 16 KiB each: over 1 MiB
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	for try := int32(1); try <= tries; try++ {
		a := p.launch(o, "t", try, false)
		must[*agentv1.ReportStateResponse](t)(a.ReportState(a.ctx, &agentv1.ReportStateRequest{
			State: failed, ErrorMessage: strings.Repeat("x", 20_000),
		}))
	}
	want, pages := int32(tries), 0
	for token := ""; ; pages++ {
		page := must[*controlv1.ListAttemptsResponse](t)(o.ListAttempts(o.ctx, &controlv1.ListAttemptsRequest{
			DagId: "dag", RunId: "run", TaskId: "t", PageSize: 1000, PageToken: token,
		}))
		for _, a := range page.GetAttempts() {
			if a.GetTryNumber() != want {
				t.Fatalf("try %d, want %d", a.GetTryNumber(), want)
			}
			want--
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if want != 0 || pages == 0 {
		t.Errorf("tries from %d down are missing, after %d pages and the last", want, pages)
	}
}

func TestXcom7GetXComServesTheCurrentTryAlone(t *testing.T) {
	p := start(t, server.Config{}, false)
	o, viewer := p.operator("acme", auth.RoleOperator), p.operator("acme", auth.RoleViewer)
	o.createRun(bash("t", "true"))
	get := func(key string) (*controlv1.GetXComResponse, error) {
		return viewer.GetXCom(viewer.ctx, &controlv1.GetXComRequest{DagId: "dag", RunId: "run", TaskId: "t", Key: key})
	}
	missing := func(key string) {
		t.Helper()
		if v, err := get(key); status.Code(err) != codes.NotFound {
			t.Errorf("%q: %v, %v; want NOT_FOUND", key, v, err)
		}
	}
	missing("")
	a := p.launch(o, "t", 1, false)
	missing("")
	value := make([]byte, 256*1024)
	for i := range value {
		value[i] = byte(i * 7)
	}
	must[*agentv1.PushXComResponse](t)(a.PushXCom(a.ctx, &agentv1.PushXComRequest{Value: value, ContentType: "x/odd; ä"}))
	must[*agentv1.PushXComResponse](t)(a.PushXCom(a.ctx, &agentv1.PushXComRequest{Key: "empty"}))
	for _, key := range []string{"", "return_value"} {
		got := must[*controlv1.GetXComResponse](t)(get(key))
		if string(got.GetValue()) != string(value) || got.GetContentType() != "x/odd; ä" || got.GetCreatedAt() == nil {
			t.Errorf("XCOM-4: %d bytes of %q", len(got.GetValue()), got.GetContentType())
		}
	}
	if got := must[*controlv1.GetXComResponse](t)(get("empty")); len(got.GetValue()) != 0 {
		t.Errorf("XCOM-4: %q", got.GetValue())
	}
	missing("other")
	p.launch(o, "t", 2, true)
	missing("")
}
