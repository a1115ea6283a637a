package interceptor

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// bareGuard is a guard without a chain. "good" is a good token of both kinds.
func bareGuard(t *testing.T, log *syncBuffer) *Guard {
	t.Helper()
	return &Guard{
		Policies: testPolicies(t),
		AuthenticateAgent: func(token string) (*auth.AgentIdentity, error) {
			if token != "good" {
				return nil, errors.New(secret)
			}
			return &testIdentity, nil
		},
		AuthenticateOperator: func(token string) (*auth.OperatorIdentity, error) {
			if token != "good" {
				return nil, errors.New(secret)
			}
			return &auth.OperatorIdentity{Subject: "ops", TenantID: "acme", Role: auth.RoleOperator}, nil
		},
		Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func incoming(ctx context.Context, token string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
}

// onChannel is ctx of a call that came over a channel with such an AuthInfo.
func onChannel(ctx context.Context, info credentials.AuthInfo) context.Context {
	return peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{}, AuthInfo: info})
}

func TestBareWrapperKeepsTheOrderOfTheContract(t *testing.T) {
	errAbsent := rpcstatus.New(codes.Unavailable, rpcstatus.ReasonNotConfigured, "absent", nil)
	absent := func() error { return errAbsent }
	valid := &controlv1.PutVariableRequest{Key: "k"}
	invalid := &controlv1.PutVariableRequest{}
	admin := func(g *Guard) {
		g.AuthenticateOperator = func(string) (*auth.OperatorIdentity, error) {
			return &auth.OperatorIdentity{Subject: "root", TenantID: "acme", Role: auth.RoleAdmin}, nil
		}
	}
	for _, c := range []struct {
		name  string
		token string
		admin bool
		req   *controlv1.PutVariableRequest
		ready Ready
		tls   bool
		want  codes.Code
	}{
		{"all wrong: authentication first", "bad", false, invalid, absent, false, codes.Unauthenticated},
		{"then the role", "good", false, invalid, absent, false, codes.PermissionDenied},
		{"then validity", "good", true, invalid, absent, false, codes.InvalidArgument},
		{"then presence", "good", true, valid, absent, false, codes.Unavailable},
		{"then the channel", "good", true, valid, nil, false, codes.PermissionDenied},
		{"then the handler", "good", true, valid, nil, true, codes.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := bareGuard(t, &syncBuffer{})
			if c.admin {
				admin(g)
			}
			ctx := incoming(t.Context(), c.token)
			if c.tls {
				ctx = onChannel(ctx, credentials.TLSInfo{})
			}
			reached := false
			method := controlv1.ControlService_PutVariable_FullMethodName
			resp, err := Unary(ctx, g, method, c.req, c.ready, func(context.Context, *Call, *controlv1.PutVariableRequest) (*controlv1.PutVariableResponse, error) {
				reached = true
				return &controlv1.PutVariableResponse{}, nil
			})
			wantCode(t, err, c.want)
			if reached != (c.want == codes.OK) || (resp != nil) != reached {
				t.Errorf("handler reached: %v, answer %v", reached, resp)
			}
			// A stream goes the same way.
			reached = false
			err = Stream(&directStream{ctx: ctx}, g, method, c.req, c.ready, func(context.Context, *Call) error {
				reached = true
				return nil
			})
			wantCode(t, err, c.want)
			if reached != (c.want == codes.OK) {
				t.Errorf("stream handler reached: %v", reached)
			}
		})
	}
}

func TestErr2BareWrapperMapsErrorsAndPanics(t *testing.T) {
	for name, c := range map[string]struct {
		fail func() error
		want codes.Code
	}{
		"error":    {func() error { return errors.New(secret) }, codes.Internal},
		"panic":    {func() error { panic(secret) }, codes.Internal},
		"sentinel": {func() error { return domain.ErrNotFound }, codes.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			log := &syncBuffer{}
			g := bareGuard(t, log)
			ctx := incoming(t.Context(), "good")
			method := agentv1.AgentService_Register_FullMethodName
			resp, err := Unary(ctx, g, method, &agentv1.RegisterRequest{}, nil,
				func(context.Context, *Call, *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
					return &agentv1.RegisterResponse{}, c.fail()
				})
			wantCode(t, err, c.want)
			wantNoSecret(t, err)
			if resp != nil {
				t.Errorf("an answer beside the error: %v", resp)
			}
			err = Stream(&directStream{ctx: ctx}, g, agentv1.AgentService_StreamLogs_FullMethodName, nil, nil,
				func(context.Context, *Call) error { return c.fail() })
			wantCode(t, err, c.want)
			wantNoSecret(t, err)
			for _, line := range log.lines(t, "call failed") {
				if line["method"] == "" || c.want == codes.Internal && line["level"] != "ERROR" {
					t.Errorf("logged %v", line)
				}
			}
			if c.want == codes.Internal && !strings.Contains(log.String(), secret) {
				t.Error("the cause is not logged")
			}
		})
	}
}

func TestErr2ABareGuardWithABrokenLogAnswersStill(t *testing.T) {
	g := bareGuard(t, &syncBuffer{})
	g.Logger = slog.New(brokenAt("*")(slog.DiscardHandler))
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New(secret) },
		"panic": func() error { panic(secret) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Unary(incoming(t.Context(), "good"), g, agentv1.AgentService_Register_FullMethodName, &agentv1.RegisterRequest{}, nil,
				func(context.Context, *Call, *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
					return nil, fail()
				})
			wantInternal(t, err)
		})
	}
}

func TestAGuardWithoutALoggerUsesTheDefault(t *testing.T) {
	log := &syncBuffer{}
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(log, nil)))
	defer slog.SetDefault(previous)
	g := bareGuard(t, log)
	g.Logger = nil
	err := Stream(&directStream{ctx: incoming(t.Context(), "good")}, g, agentv1.AgentService_StreamLogs_FullMethodName, nil, nil,
		func(context.Context, *Call) error { return errors.New("why") })
	wantInternal(t, err)
	if len(log.lines(t, "call failed")) != 1 {
		t.Errorf("log %q", log)
	}
}

func TestAuth7AMethodWithoutPolicyOrVerifierIsRefused(t *testing.T) {
	g := bareGuard(t, &syncBuffer{})
	ctx := incoming(t.Context(), "good")
	nothing := func(context.Context, *Call) error { return nil }
	wantRefused(t, Stream(&directStream{ctx: ctx}, g, "/leoflow.agent.v1.AgentService/Conquer", nil, nil, nothing))
	g.AuthenticateAgent, g.AuthenticateOperator = nil, nil
	wantRefused(t, Stream(&directStream{ctx: ctx}, g, agentv1.AgentService_StreamLogs_FullMethodName, nil, nil, nothing))
	wantRefused(t, Stream(&directStream{ctx: ctx}, g, controlv1.ControlService_WatchRun_FullMethodName, nil, nil, nothing))
}

// A handler behind the chain does not do again what the chain has done.
func TestBehindTheChainEachStepRunsOnce(t *testing.T) {
	verified := 0
	identity := testIdentity
	var g *Guard
	agents := &agentService{}
	b := newBench(t, setup{agents: agents, authenticate: func(string) (*auth.AgentIdentity, error) {
		verified++
		return &identity, nil
	}})
	g = bareGuard(t, &syncBuffer{})
	g.AuthenticateAgent = func(string) (*auth.AgentIdentity, error) {
		verified++
		return nil, errors.New("asked twice")
	}
	agents.onRegister = func(ctx context.Context, _ *agentv1.RegisterRequest) error {
		// It would be invalid, were it looked at again.
		_, err := Unary(ctx, g, agentv1.AgentService_FetchXCom_FullMethodName, &agentv1.FetchXComRequest{}, nil,
			func(_ context.Context, call *Call, _ *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
				if call.Agent.TaskInstanceID != identity.TaskInstanceID || call.RequestID() != "call-9" {
					t.Errorf("the handler sees %+v", call)
				}
				return nil, domain.ErrConflict
			})
		return err
	}
	_, err := b.agent.Register(b.asAgent(requestIDKey, "call-9"), &agentv1.RegisterRequest{})
	wantCode(t, err, codes.AlreadyExists)
	if n := len(slices.Collect(details(err))); n != 2 { // ErrorInfo and RequestInfo, once each
		t.Errorf("%d details, want 2", n)
	}
	b.stop()
	if verified != 1 {
		t.Errorf("the token was verified %d times", verified)
	}
}

// claimed is an AuthInfo that says of itself whatever it likes.
type claimed struct {
	credentials.CommonAuthInfo
	kind string
}

func (c claimed) AuthType() string { return c.kind }

// silent is an AuthInfo that tells nothing of its level.
type silent struct{}

func (silent) AuthType() string { return "local" }

func TestSecret1OnlyAConfidentialChannelCounts(t *testing.T) {
	at := func(level credentials.SecurityLevel) credentials.CommonAuthInfo {
		return credentials.CommonAuthInfo{SecurityLevel: level}
	}
	for _, c := range []struct {
		name string
		info credentials.AuthInfo
		want bool
	}{
		{"none", nil, false},
		{"TLS", credentials.TLSInfo{}, true},
		{"calls itself tls", claimed{at(credentials.PrivacyAndIntegrity), "tls"}, false},
		{"calls itself TLS", claimed{at(credentials.PrivacyAndIntegrity), "TLS"}, false},
		{"insecure", claimed{at(credentials.NoSecurity), "insecure"}, false},
		{"local, private", claimed{at(credentials.PrivacyAndIntegrity), "local"}, true},
		{"local, integrity only", claimed{at(credentials.IntegrityOnly), "local"}, false},
		{"local, no security", claimed{at(credentials.NoSecurity), "local"}, false},
		{"local, level not told", claimed{credentials.CommonAuthInfo{}, "local"}, false},
		{"local, silent", silent{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := confidential(onChannel(t.Context(), c.info)); got != c.want {
				t.Errorf("confidential: %v, want %v", got, c.want)
			}
			g := bareGuard(t, &syncBuffer{})
			call := &Call{Method: agentv1.AgentService_GetVariables_FullMethodName}
			err := g.checkChannel(onChannel(t.Context(), c.info), call)
			if (err == nil) != c.want {
				t.Errorf("check says %v", err)
			}
			g.AllowPlaintext = true
			if err := g.checkChannel(onChannel(t.Context(), c.info), call); err != nil {
				t.Errorf("refused though the operator allows it: %v", err)
			}
		})
	}
	if confidential(t.Context()) {
		t.Error("a call without a peer counts as confidential")
	}
	g := bareGuard(t, &syncBuffer{})
	if err := g.checkChannel(t.Context(), &Call{Method: agentv1.AgentService_Register_FullMethodName}); err != nil {
		t.Errorf("a method for any channel: %v", err)
	}
	if err := g.checkChannel(t.Context(), &Call{Method: "/x.Y/Z"}); err == nil {
		t.Error("a method without a policy passes")
	}
}

func TestSecret1TheRefusalSaysWhatToDo(t *testing.T) {
	g := bareGuard(t, &syncBuffer{})
	_, err := Unary(incoming(t.Context(), "good"), g, agentv1.AgentService_GetVariables_FullMethodName, &agentv1.GetVariablesRequest{}, nil,
		func(context.Context, *Call, *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
			t.Error("the handler was reached")
			return nil, nil // not reached
		})
	wantCode(t, err, codes.PermissionDenied)
	if info, _ := detail[*errdetails.ErrorInfo](err); info.GetReason() != "CHANNEL_NOT_CONFIDENTIAL" {
		t.Errorf("ErrorInfo %v", info)
	}
}
