package server_test

import (
	"path/filepath"
	"testing"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/agentrpc"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// What renewal needs is what our tokens can do.
var (
	_ agentrpc.Renewer = (*auth.Tokens)(nil)
)

// agedBy is the agent with a token of its attempt as if that was launched so long ago.
func (a *agent) agedBy(t *testing.T, dataDir string, age time.Duration) *agent {
	t.Helper()
	keys, err := auth.LoadKeys(filepath.Join(dataDir, server.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	id, err := auth.NewTokens(keys, nil).AuthenticateAgent(a.token)
	if err != nil {
		t.Fatal(err)
	}
	launched := time.Now().Add(-age)
	token, _, err := auth.NewTokens(keys, func() time.Time { return launched }).MintAttempt(*id, launched, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &agent{a.AgentServiceClient, as(t.Context(), token), a.instanceID, token, a.late}
}

// beat beats until the store's word is in the answer, which it is not where the store, or
// whoever asks it, took too long for one (BEAT-2).
func (a *agent) beat(t *testing.T) *agentv1.HeartbeatResponse {
	t.Helper()
	for {
		before := a.late.Load()
		resp := must[*agentv1.HeartbeatResponse](t)(a.Heartbeat(a.ctx, &agentv1.HeartbeatRequest{}))
		if a.late.Load() == before {
			return resp
		}
	}
}

// TestToken1RenewalFollowsTheAttemptsLife goes through the whole server: its chain,
// its store, its keys.
func TestToken1RenewalFollowsTheAttemptsLife(t *testing.T) {
	dir := t.TempDir()
	p := start(t, server.Config{DataDir: dir}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"), bash("u", "true"))
	fresh := p.launch(o, "t", 1, false)
	if got := fresh.beat(t).GetRenewedToken(); got != "" {
		t.Error("a fresh token was renewed")
	}
	old := fresh.agedBy(t, dir, 20*24*time.Hour)
	renewed := old.beat(t).GetRenewedToken()
	if renewed == "" {
		t.Fatal("TOKEN-1: the token of a live attempt was not renewed")
	}
	next := &agent{old.AgentServiceClient, as(t.Context(), renewed), old.instanceID, renewed, old.late}
	next.report(t, running, 0)
	old.report(t, running, 0) // TOKEN-3
	if got := next.beat(t).GetRenewedToken(); got != "" {
		t.Error("the renewed token was renewed at once")
	}
	was, err := p.server.Tokens().AuthenticateAgent(old.token)
	if err != nil {
		t.Fatal(err)
	}
	if is, err := p.server.Tokens().AuthenticateAgent(renewed); err != nil || *is != *was {
		t.Errorf("TOKEN-2: %+v was renewed as %+v, %v", was, is, err)
	}
	// Each way to end, TOKEN-1: superseded, and finished.
	young := p.launch(o, "t", 2, true)
	young.report(t, success, 0)
	for name, ended := range map[string]*agent{"superseded": old, "finished": young.agedBy(t, dir, 20*24*time.Hour)} {
		if got := ended.beat(t); got.GetRenewedToken() != "" || !got.GetShouldTerminate() {
			t.Errorf("TOKEN-1: the %s attempt was answered %v", name, got.GetReason())
		}
	}
}

func TestToken2ARepeatedLaunchKeepsTheEnd(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleOperator)
	task := bash("t", "true")
	task.ExecutionTimeoutSeconds = 30 * 24 * 3600
	o.createRun(task)
	launch := func() *controlv1.LaunchAttemptResponse {
		return must[*controlv1.LaunchAttemptResponse](t)(o.LaunchAttempt(o.ctx, &controlv1.LaunchAttemptRequest{
			DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 1,
		}))
	}
	began := time.Now()
	first, again := launch().GetTokenExpiresAt().AsTime(), launch().GetTokenExpiresAt().AsTime()
	if !first.Equal(again) {
		t.Errorf("launched again, the token ends at %v, not %v", again, first)
	}
	// The token counts whole seconds.
	if least := began.Add(31 * 24 * time.Hour).Truncate(time.Second); first.Before(least) {
		t.Errorf("the token ends at %v, before the time-out and the queue's allowance: %v", first, least)
	}
}
