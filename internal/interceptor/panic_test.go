package interceptor

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
)

// brokenLog is a log handler that panics at some messages.
type brokenLog struct {
	slog.Handler
	at func(message string) bool
}

func (h brokenLog) Handle(ctx context.Context, r slog.Record) error {
	if h.at(r.Message) {
		panic(secret)
	}
	return h.Handler.Handle(ctx, r)
}

func brokenAt(messages ...string) func(slog.Handler) slog.Handler {
	return func(inner slog.Handler) slog.Handler {
		return brokenLog{inner, func(message string) bool {
			for _, m := range messages {
				if m == message || m == "*" {
					return true
				}
			}
			return false
		}}
	}
}

// wantInternal wants INTERNAL with the fixed text and nothing private.
func wantInternal(t *testing.T, err error) {
	t.Helper()
	wantCode(t, err, codes.Internal)
	if message := status.Convert(err).Message(); message != "internal server error" {
		t.Errorf("message %q", message)
	}
	wantNoSecret(t, err)
}

func panickingServices() (*agentService, *controlService) {
	agents := &agentService{
		onRegister: func(context.Context, *agentv1.RegisterRequest) error { panic(secret) },
		onStream: func(stream agentv1.AgentService_StreamLogsServer) error {
			if _, err := stream.Recv(); err != nil {
				return err
			}
			panic(errors.New(secret))
		},
	}
	control := &controlService{
		onWatch: func(*controlv1.WatchRunRequest, controlv1.ControlService_WatchRunServer) error { panic(secret) },
	}
	return agents, control
}

func TestErr2APanicInAnyLayerIsInternalAndSurvived(t *testing.T) {
	panickingAgents, panickingControl := panickingServices()
	cases := map[string]struct {
		setup
		counted bool // inside status, and so counted and logged as a call
	}{
		"handlers": {setup{agents: panickingAgents, control: panickingControl}, true},
		"verifiers": {setup{
			authenticate: func(string) (*auth.AgentIdentity, error) { panic(secret) },
			authorise:    func(string) (*auth.OperatorIdentity, error) { panic(secret) },
		}, true},
		"metrics":                        {setup{metrics: &Metrics{}}, false},
		"the log, of the finished call":  {setup{logHandler: brokenAt("finished call")}, false},
		"the log, at everything":         {setup{logHandler: brokenAt("*")}, false},
		"the log, as it logs a panic":    {setup{agents: panickingAgents, control: panickingControl, logHandler: brokenAt("handler panicked")}, true},
		"the log, of a call that failed": {setup{agents: panickingAgents, control: panickingControl, logHandler: brokenAt("call failed")}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, c.setup)
			calls := map[string]func() error{
				"Register": func() error {
					_, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{})
					return err
				},
				"StreamLogs": func() error { return b.sendLogs(b.asAgent(), &agentv1.LogLine{Message: "x"}) },
				"WatchRun": func() error {
					return b.watch(b.asOperator(auth.RoleAdmin), &controlv1.WatchRunRequest{DagId: "d", RunId: "r"})
				},
			}
			for method, call := range calls {
				for range 2 { // the second time shows that the server goes on
					wantInternal(t, call())
				}
				if n := b.handled(method, codes.Internal); c.counted && n != 2 {
					t.Errorf("%s: %v counted as Internal, want 2", method, n)
				}
			}
		})
	}
}

func TestErr2APanicIsLoggedWithMethodStackAndRequestID(t *testing.T) {
	agents, control := panickingServices()
	b := newBench(t, setup{agents: agents, control: control})
	_, err := b.agent.Register(b.asAgent(requestIDKey, "call-1"), &agentv1.RegisterRequest{})
	wantInternal(t, err)
	wantInternal(t, b.sendLogs(b.asAgent(requestIDKey, "call-2"), &agentv1.LogLine{}))
	panics := b.log.lines(t, "handler panicked")
	if len(panics) != 2 {
		t.Fatalf("%d panics logged, want 2", len(panics))
	}
	for i, want := range []struct{ method, id string }{
		{agentv1.AgentService_Register_FullMethodName, "call-1"},
		{agentv1.AgentService_StreamLogs_FullMethodName, "call-2"},
	} {
		stack, _ := panics[i]["stack"].(string)
		if panics[i]["method"] != want.method || panics[i]["request_id"] != want.id ||
			panics[i]["panic"] != secret || !strings.Contains(stack, "panic_test.go") {
			t.Errorf("logged %v, want %v", panics[i], want)
		}
	}
}

// explosive is a message whose validation panics.
type explosive struct{}

func (explosive) ValidateAll() error { panic(secret) }

// unvalidatable is a message without generated validation.
type unvalidatable struct{}

// directStream is a server stream that yields whatever message it is asked for.
type directStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream is the carrier of its context
	err error
}

func (s *directStream) Context() context.Context { return s.ctx }
func (s *directStream) RecvMsg(any) error        { return s.err }

// direct runs a chain around a handler without a transport.
func directUnary(c Chain, ctx context.Context, req any) error { //nolint:revive // the chain is the subject
	handler := func(context.Context, any) (any, error) { return nil, nil } // a handler that does nothing
	info := &grpc.UnaryServerInfo{FullMethod: agentv1.AgentService_Register_FullMethodName}
	_, err := c.through(c.links()).unary(ctx, req, info, handler)
	return err
}

func directStreaming(c Chain, stream grpc.ServerStream, message any) error {
	handler := func(_ any, stream grpc.ServerStream) error { return stream.RecvMsg(message) }
	info := &grpc.StreamServerInfo{FullMethod: agentv1.AgentService_StreamLogs_FullMethodName, IsClientStream: true}
	return c.through(c.links()).stream(struct{}{}, stream, info, handler)
}

// directChain is a chain, with a context that carries a good token.
func directChain(t *testing.T) (Chain, context.Context, *syncBuffer) {
	t.Helper()
	tokens, log := testTokens(t), &syncBuffer{}
	token, _, err := tokens.MintAgent(testIdentity, patient)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewJSONHandler(log, nil))
	guard := &Guard{Policies: testPolicies(t), AuthenticateAgent: tokens.AuthenticateAgent, Logger: logger}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+token))
	return Chain{Guard: guard, Metrics: NewMetrics(), Logger: logger}, ctx, log
}

func TestErr2APanicInAMessagesValidationIsInternal(t *testing.T) {
	chain, ctx, log := directChain(t)
	wantInternal(t, directUnary(chain, ctx, explosive{}))
	wantInternal(t, directStreaming(chain, &directStream{ctx: ctx}, explosive{}))
	if panics := log.lines(t, "handler panicked"); len(panics) != 2 {
		t.Errorf("%d panics logged, want 2", len(panics))
	}
}

func TestErr3AMessageWithoutValidationIsRefusedAsOurFault(t *testing.T) {
	chain, ctx, _ := directChain(t)
	wantInternal(t, directUnary(chain, ctx, unvalidatable{}))
	wantInternal(t, directStreaming(chain, &directStream{ctx: ctx}, unvalidatable{}))
}

func TestErr1OfAStreamOnlyTheTransportsOwnTextGoesOut(t *testing.T) {
	chain, ctx, _ := directChain(t)
	wantInternal(t, directStreaming(chain, &directStream{ctx: ctx, err: errors.New(secret)}, &agentv1.LogLine{}))
	wantCode(t, directStreaming(chain, &directStream{ctx: ctx, err: status.Error(codes.ResourceExhausted, "grpc: too large")}, &agentv1.LogLine{}),
		codes.ResourceExhausted)
	// A handler that takes the end of the stream for an error is at fault.
	wantInternal(t, directStreaming(chain, &directStream{ctx: ctx, err: io.EOF}, &agentv1.LogLine{}))
}

func TestErr2RecoveryStandsOutermostOnItsOwn(t *testing.T) {
	log := &syncBuffer{}
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(log, nil)))
	defer slog.SetDefault(previous)
	for name, logger := range map[string]*slog.Logger{
		"given":   slog.New(slog.NewJSONHandler(log, nil)),
		"default": nil,
		"broken":  slog.New(brokenAt("*")(slog.NewJSONHandler(log, nil))),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(log.lines(t, "handler panicked"))
			info := &grpc.UnaryServerInfo{FullMethod: "/x.Y/Z"}
			resp, err := RecoveryUnary(logger)(t.Context(), nil, info, func(context.Context, any) (any, error) { panic(secret) })
			wantInternal(t, err)
			if resp != nil {
				t.Errorf("a panic answered %v", resp)
			}
			wantInternal(t, RecoveryStream(logger)(nil, &directStream{ctx: t.Context()}, &grpc.StreamServerInfo{FullMethod: "/x.Y/S"},
				func(any, grpc.ServerStream) error { panic(secret) }))
			want := 2
			if name == "broken" {
				want = 0
			}
			if n := len(log.lines(t, "handler panicked")) - before; n != want {
				t.Errorf("%d panics logged, want %d", n, want)
			}
			// What is well passes untouched.
			resp, err = RecoveryUnary(logger)(t.Context(), nil, info, func(context.Context, any) (any, error) { return "well", nil })
			if resp != "well" || err != nil {
				t.Errorf("a call that is well gives %v, %v", resp, err)
			}
			plain := errors.New("as it came")
			if err := RecoveryStream(logger)(nil, &directStream{ctx: t.Context()}, &grpc.StreamServerInfo{},
				func(any, grpc.ServerStream) error { return plain }); !errors.Is(err, plain) {
				t.Errorf("an error becomes %v", err)
			}
		})
	}
}
