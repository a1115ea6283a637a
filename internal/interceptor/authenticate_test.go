package interceptor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// wantRefused wants the one answer that every refusal of a token gets (AUTH-4).
func wantRefused(t *testing.T, err error) {
	t.Helper()
	wantCode(t, err, codes.Unauthenticated)
	if message := status.Convert(err).Message(); message != "unauthenticated" {
		t.Errorf("message %q", message)
	}
	if info, _ := detail[*errdetails.ErrorInfo](err); info.GetReason() != "UNAUTHENTICATED" || len(info.GetMetadata()) != 0 {
		t.Errorf("ErrorInfo %v", info)
	}
	wantNoSecret(t, err)
}

func TestAuth7ATokenOfOneKindOpensNothingOfAnother(t *testing.T) {
	b := newBench(t, setup{})
	asAgent, asAdmin := b.asAgent(), b.asOperator(auth.RoleAdmin)
	_, err := b.agent.Register(asAdmin, &agentv1.RegisterRequest{})
	wantRefused(t, err)
	wantRefused(t, b.sendLogs(asAdmin))
	_, err = b.control.CreateRun(asAgent, wellFormedRun())
	wantRefused(t, err)
	wantRefused(t, b.watch(asAgent, &controlv1.WatchRunRequest{DagId: "d", RunId: "r"}))

	// Each opens what it is for.
	if _, err := b.agent.Register(asAgent, &agentv1.RegisterRequest{}); err != nil {
		t.Errorf("agent: %v", err)
	}
	if _, err := b.control.CreateRun(asAdmin, wellFormedRun()); err != nil {
		t.Errorf("operator: %v", err)
	}
}

func TestAuth1EveryWayToBringNoTokenIsRefused(t *testing.T) {
	b := newBench(t, setup{})
	token := b.agentToken()
	for name, pairs := range map[string][]string{
		"none":           nil,
		"two values":     {"authorization", "Bearer " + token, "authorization", "Bearer " + token},
		"another scheme": {"authorization", "Basic " + token},
		"no scheme":      {"authorization", token},
		"empty token":    {"authorization", "Bearer "},
		"only a scheme":  {"authorization", "Bearer"},
		"nonsense":       {"authorization", "Bearer a.b.c"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(b.ctx, pairs...)
			_, err := b.agent.Register(ctx, &agentv1.RegisterRequest{})
			wantRefused(t, err)
			wantRefused(t, b.sendLogs(ctx, &agentv1.LogLine{}))
		})
	}
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		ctx := metadata.AppendToOutgoingContext(b.ctx, "authorization", scheme+" "+token)
		if _, err := b.agent.Register(ctx, &agentv1.RegisterRequest{}); err != nil {
			t.Errorf("scheme %s: %v", scheme, err)
		}
	}
}

func TestAuth4WhateverAVerifierSaysIsOneRefusal(t *testing.T) {
	for name, verifier := range map[string]func(string) (*auth.AgentIdentity, error){
		"an error": func(string) (*auth.AgentIdentity, error) { return nil, errors.New(secret) },
		"an unavailable store": func(string) (*auth.AgentIdentity, error) {
			return nil, fmt.Errorf("%s: %w", secret, domain.ErrUnavailable)
		},
		"no identity": func(string) (*auth.AgentIdentity, error) { return nil, nil }, // the case
		"both":        func(string) (*auth.AgentIdentity, error) { return &testIdentity, errors.New(secret) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, setup{authenticate: verifier})
			_, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{})
			wantRefused(t, err)
		})
	}
}

func TestAuth1OnAStreamNothingIsTakenBeforeTheToken(t *testing.T) {
	reached := make(chan struct{}, 1)
	b := newBench(t, setup{agents: &agentService{onStream: func(agentv1.AgentService_StreamLogsServer) error {
		reached <- struct{}{}
		return nil
	}}})
	wantRefused(t, b.sendLogs(b.ctx, &agentv1.LogLine{Message: "x"}))
	b.stop()
	select {
	case <-reached:
		t.Error("the handler was reached")
	default:
	}
	if n := b.counted("grpc_server_msg_received_total", "grpc_method", "StreamLogs"); n != 0 {
		t.Errorf("%v messages taken", n)
	}
}

func TestAuth6TheTenantInTheContextIsTheTokens(t *testing.T) {
	tenants := make(chan string, 1)
	b := newBench(t, setup{agents: &agentService{onRegister: func(ctx context.Context, _ *agentv1.RegisterRequest) error {
		tenant, _ := domain.TenantFrom(ctx)
		tenants <- tenant
		return nil
	}}})
	if _, err := b.agent.Register(b.asAgent("tenant", "other", "x-tenant-id", "other"), &agentv1.RegisterRequest{
		Environment: map[string]string{"tenant_id": "other"},
	}); err != nil {
		t.Fatal(err)
	}
	if tenant := <-tenants; tenant != "acme" {
		t.Errorf("tenant %q, want the token's", tenant)
	}
}

func TestAuth11ARoleThatIsTooLowIsDenied(t *testing.T) {
	b := newBench(t, setup{})
	calls := map[string]func(ctx context.Context) error{
		"viewer": func(ctx context.Context) error {
			return b.watch(ctx, &controlv1.WatchRunRequest{DagId: "d", RunId: "r"})
		},
		"operator": func(ctx context.Context) error { _, err := b.control.CreateRun(ctx, wellFormedRun()); return err },
		"admin": func(ctx context.Context) error {
			_, err := b.control.PutVariable(ctx, &controlv1.PutVariableRequest{Key: "k"})
			return err
		},
	}
	for least, call := range calls {
		for _, role := range []auth.Role{auth.RoleViewer, auth.RoleOperator, auth.RoleAdmin} {
			t.Run(string(role)+" where "+least+" is asked", func(t *testing.T) {
				err := call(b.asOperator(role))
				if role.Includes(auth.Role(least)) {
					wantCode(t, err, codes.OK)
					return
				}
				wantCode(t, err, codes.PermissionDenied)
				if info, _ := detail[*errdetails.ErrorInfo](err); info.GetReason() != "ROLE_TOO_LOW" {
					t.Errorf("ErrorInfo %v", info)
				}
			})
		}
	}
}

func TestAuth8NoTokenIsEverLogged(t *testing.T) {
	agents, control := panickingServices()
	b := newBench(t, setup{agents: agents, control: control})
	agentToken, adminToken := b.agentToken(), b.operatorToken(auth.RoleAdmin)
	spoilt := agentToken[:len(agentToken)-4] + "AAAA"
	const variable = "a-variables-value"
	_, _ = b.agent.Register(b.bearing(agentToken), &agentv1.RegisterRequest{})
	_, _ = b.agent.FetchXCom(b.bearing(agentToken), &agentv1.FetchXComRequest{})
	_, _ = b.agent.Register(b.bearing(spoilt), &agentv1.RegisterRequest{})
	_, _ = b.agent.Register(b.bearing(adminToken), &agentv1.RegisterRequest{})
	_, _ = b.agent.Register(b.bearing("not-a-jwt-but-private"), &agentv1.RegisterRequest{})
	_, _ = b.control.PutVariable(b.bearing(adminToken), &controlv1.PutVariableRequest{Key: "k", Value: variable})
	_, _ = b.control.PutVariable(b.bearing(adminToken), &controlv1.PutVariableRequest{Value: variable})
	_, _ = b.control.PutVariable(b.bearing(agentToken), &controlv1.PutVariableRequest{Key: "k", Value: variable})
	_ = b.sendLogs(b.bearing(agentToken), &agentv1.LogLine{})
	b.stop()
	log := b.log.String()
	if n := len(b.log.lines(t, "finished call")); n != 9 {
		t.Errorf("%d calls logged, want 9", n)
	}
	for _, token := range []string{agentToken, spoilt, adminToken} {
		for _, part := range strings.Split(token, ".")[1:] { // the header is the same for all
			if strings.Contains(log, part) {
				t.Errorf("the log holds %q of a token", part)
			}
		}
	}
	for _, private := range []string{"not-a-jwt-but-private", variable} {
		if strings.Contains(log, private) {
			t.Errorf("the log holds %q", private)
		}
	}
}

func TestLoggingKeepsTheEverydayOutOfTheOrdinaryLog(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		want := "DEBUG"
		switch code { //nolint:exhaustive // the rest is the everyday
		case codes.Internal, codes.Unknown, codes.DataLoss:
			want = "ERROR"
		case codes.Unavailable, codes.ResourceExhausted:
			want = "WARN"
		case codes.Unauthenticated, codes.PermissionDenied:
			want = "INFO"
		}
		if got := fmt.Sprint(levelOf(code)); got != want {
			t.Errorf("%v is logged at %s, want %s", code, got, want)
		}
	}
}
