package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// journal keeps a server's log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// TestAuth8NoSecretComesBack writes, lists, delivers and deletes secrets, and looks
// for them in every reply to an operator and in the log.
func TestAuth8NoSecretComesBack(t *testing.T) {
	const canary = "canary-7c1f"
	log := &journal{}
	p := start(t, server.Config{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, false)
	o := p.operator("acme", auth.RoleAdmin)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	put := must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: "K", Value: canary}))
	putC := must[*controlv1.PutConnectionResponse](t)(o.PutConnection(o.ctx, &controlv1.PutConnectionRequest{ConnectionId: "C", Uri: "x://" + canary}))
	if got := must[*agentv1.GetVariablesResponse](t)(a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{})); got.GetVariables()["K"] != canary {
		t.Fatalf("SECRET-2: delivered %v", got)
	}
	variables := must[*controlv1.ListVariablesResponse](t)(o.ListVariables(o.ctx, &controlv1.ListVariablesRequest{}))
	connections := must[*controlv1.ListConnectionsResponse](t)(o.ListConnections(o.ctx, &controlv1.ListConnectionsRequest{}))
	for _, list := range [][]*controlv1.SecretName{variables.GetVariables(), connections.GetConnections()} {
		if len(list) != 1 || len(list[0].GetName()) != 1 || list[0].GetUpdatedAt() == nil {
			t.Errorf("listed %v", list)
		}
	}
	deleted := must[*controlv1.DeleteVariableResponse](t)(o.DeleteVariable(o.ctx, &controlv1.DeleteVariableRequest{Key: "K"}))
	audit := must[*controlv1.ListAuditEventsResponse](t)(o.ListAuditEvents(o.ctx, &controlv1.ListAuditEventsRequest{}))
	_, refused := o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Value: canary})
	for _, reply := range []proto.Message{put, putC, variables, connections, deleted, audit, status.Convert(refused).Proto()} {
		if text := fmt.Sprint(reply); strings.Contains(text, canary) {
			t.Errorf("a reply holds a secret: %s", text)
		}
	}
	p.stop()
	if strings.Contains(log.String(), canary) {
		t.Error("the log holds a secret")
	}
}

func TestSecret5AuditTellsWhoWroteAndWhoGot(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleAdmin)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	for _, name := range []string{"B", "A"} {
		must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: name, Value: "v"}))
	}
	must[*controlv1.PutConnectionResponse](t)(o.PutConnection(o.ctx, &controlv1.PutConnectionRequest{ConnectionId: "C", Uri: "x://"}))
	must[*agentv1.GetVariablesResponse](t)(a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{}))
	must[*agentv1.GetConnectionsResponse](t)(a.GetConnections(a.ctx, &agentv1.GetConnectionsRequest{}))
	must[*controlv1.DeleteVariableResponse](t)(o.DeleteVariable(o.ctx, &controlv1.DeleteVariableRequest{Key: "A"}))
	must[*controlv1.DeleteConnectionResponse](t)(o.DeleteConnection(o.ctx, &controlv1.DeleteConnectionRequest{ConnectionId: "C"}))
	if _, err := o.DeleteVariable(o.ctx, &controlv1.DeleteVariableRequest{Key: "A"}); status.Code(err) != codes.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	var got []string
	for token := ""; ; {
		page := must[*controlv1.ListAuditEventsResponse](t)(o.ListAuditEvents(o.ctx, &controlv1.ListAuditEventsRequest{PageSize: 3, PageToken: token}))
		for _, e := range page.GetEvents() {
			if e.GetAt() == nil {
				t.Errorf("event %v has no time", e)
			}
			got = append(got, fmt.Sprintf("%s %v by %q to %q try %d", e.GetAction(), e.GetNames(), e.GetActor(), e.GetDagId()+e.GetRunId()+e.GetTaskId(), e.GetTryNumber()))
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	want := []string{
		`connection.deleted [C] by "test" to "" try 0`,
		`variable.deleted [A] by "test" to "" try 0`,
		`connections.delivered [C] by "" to "dagrunt" try 1`,
		`variables.delivered [A B] by "" to "dagrunt" try 1`,
		`connection.put [C] by "test" to "" try 0`,
		`variable.put [A] by "test" to "" try 0`,
		`variable.put [B] by "test" to "" try 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("audit:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSecret3ScopeIsSetForTheNextCall(t *testing.T) {
	const tenantScope, declared = controlv1.SecretScope_SECRET_SCOPE_TENANT, controlv1.SecretScope_SECRET_SCOPE_DECLARED
	p := start(t, server.Config{}, false)
	o, other := p.operator("acme", auth.RoleAdmin), p.operator("other", auth.RoleAdmin)
	is := func(o *operator, want controlv1.SecretScope) {
		t.Helper()
		if got := must[*controlv1.GetSecretScopeResponse](t)(o.GetSecretScope(o.ctx, &controlv1.GetSecretScopeRequest{})); got.GetScope() != want {
			t.Errorf("scope %v, want %v", got, want)
		}
	}
	is(o, tenantScope)
	task := bash("t", "true")
	task.Variables = []string{"A"}
	o.createRun(task)
	a := p.launch(o, "t", 1, false)
	for _, name := range []string{"A", "B"} {
		must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: name, Value: "v"}))
	}
	for _, c := range []struct {
		scope controlv1.SecretScope
		names int
	}{{declared, 1}, {tenantScope, 2}} {
		must[*controlv1.SetSecretScopeResponse](t)(o.SetSecretScope(o.ctx, &controlv1.SetSecretScopeRequest{Scope: c.scope}))
		is(o, c.scope)
		is(other, tenantScope)
		got := must[*agentv1.GetVariablesResponse](t)(a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{}))
		if len(got.GetVariables()) != c.names || got.GetVariables()["A"] != "v" {
			t.Errorf("scope %v: delivered %v", c.scope, got)
		}
	}
	audit := must[*controlv1.ListAuditEventsResponse](t)(o.ListAuditEvents(o.ctx, &controlv1.ListAuditEventsRequest{})).GetEvents()
	for i, want := range map[int]string{1: "tenant", 3: "declared"} { // below a delivery each
		if e := audit[i]; e.GetAction() != "secret_scope.set" || e.GetActor() != "test" || !slices.Equal(e.GetNames(), []string{want}) {
			t.Errorf("audit event %v, want that %s was set", e, want)
		}
	}
	for _, scope := range []controlv1.SecretScope{0, 3, -1} {
		_, err := o.SetSecretScope(o.ctx, &controlv1.SetSecretScopeRequest{Scope: scope})
		if got := fields(err); status.Code(err) != codes.InvalidArgument || len(got) == 0 || got[0] != "scope" {
			t.Errorf("scope %v: %v", scope, err)
		}
	}
}
