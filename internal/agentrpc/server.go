package agentrpc

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// RecoveryUnaryInterceptor turns a panic of a handler into INTERNAL, logged with
// method and stack (ERR-2). It is meant to be outermost; a nil logger is
// slog.Default().
func RecoveryUnaryInterceptor(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return interceptor.RecoveryUnary(logger)
}

// RecoveryStreamInterceptor is [RecoveryUnaryInterceptor] for streams.
func RecoveryStreamInterceptor(logger *slog.Logger) grpc.StreamServerInterceptor {
	return interceptor.RecoveryStream(logger)
}

// Server serves AgentService. Its setters are called before the first RPC and not
// after; the RPCs are safe for concurrent use.
type Server struct {
	agentv1.UnimplementedAgentServiceServer

	guard     interceptor.Guard
	now       func() time.Time
	store     Store
	xcoms     XComService
	sink      LogSink
	publisher LogPublisher
	secrets   SecretsStore
	hearsay   Hearsay // nil: nobody is told
	beats     beats
	every     *durationpb.Duration // between heartbeats, as the replies ask: one for all
	readmit   time.Duration        // between looks at the attempt of a stream that sends
	admitting chan struct{}        // holds a value for each who may ask the admitter
	drain     chan struct{}        // closed: log streams end (LOG-10)
	drainOnce sync.Once

	// lone records a heartbeat that was not decided promptly.
	lone func(ctx context.Context, id auth.AgentIdentity) error

	// What the given parts can do beyond their interfaces; nil: they cannot.
	renewer   Renewer
	prompt    PromptStore
	registrar Registrar
	reporter  TimedReporter
	cancels   CancelReader
	admitter  LogAdmitter
	attempts  AttemptXCom
	lines     logs.LineSink
	deliverer SecretsDeliverer
}

// policies is the policy table of AgentService. It is part of the binary, so a
// fault in it is a fault of the build, and no server starts with one.
var policies = sync.OnceValue(func() *policy.Table {
	table, err := policy.Load(agentv1.File_leoflow_agent_v1_agent_proto)
	if err != nil {
		panic(err)
	}
	return table
})

// NewServer returns a server without logs and secrets, which the setters attach.
// It panics if an RPC of the service lacks a policy.
func NewServer(authn Authenticator, store Store, xcomSvc XComService) *Server {
	s := &Server{
		guard:     interceptor.Guard{Policies: policies(), AuthenticateAgent: authn.AuthenticateAgent},
		now:       time.Now,
		store:     store,
		lone:      store.RecordHeartbeat,
		xcoms:     xcomSvc,
		beats:     beats{wait: definitiveWithin},
		every:     durationpb.New(domain.BeatInterval),
		readmit:   readmitEvery,
		admitting: make(chan struct{}, admitsAtOnce),
		drain:     make(chan struct{}),
	}
	s.renewer, _ = authn.(Renewer)
	if prompt, ok := store.(PromptStore); ok {
		s.prompt, s.lone = prompt, prompt.LoneHeartbeat
	}
	s.registrar, _ = store.(Registrar)
	s.reporter, _ = store.(TimedReporter)
	s.cancels, _ = store.(CancelReader)
	s.admitter, _ = store.(LogAdmitter)
	s.attempts, _ = xcomSvc.(AttemptXCom)
	return s
}

// SetLogger sets where failures are logged; slog.Default() without it.
func (s *Server) SetLogger(logger *slog.Logger) { s.guard.Logger = logger }

// SetClock sets what tells the time of day, best the store's own clock; time.Now
// without it.
func (s *Server) SetClock(now func() time.Time) { s.now = now }

// SetBeatInterval sets how often agents are asked to beat (BEAT-7);
// [domain.BeatInterval] without it.
func (s *Server) SetBeatInterval(every time.Duration) { s.every = durationpb.New(every) }

// SetStreamLooks sets how often a log stream that sends is held against its attempt's
// end (LOG-9); every 5 s without it.
func (s *Server) SetStreamLooks(every time.Duration) { s.readmit = every }

// SetHearsay attaches who is told of heartbeats that are not stored; nobody without it.
func (s *Server) SetHearsay(h Hearsay) { s.hearsay = h }

// SetLogSink attaches the log. Without one StreamLogs is UNIMPLEMENTED. A sink
// that is also a [logs.LineSink] acknowledges lines while they flow.
func (s *Server) SetLogSink(sink LogSink) {
	s.sink = sink
	s.lines, _ = sink.(logs.LineSink)
}

// SetLogPublisher attaches who hears of each line at once.
func (s *Server) SetLogPublisher(p LogPublisher) { s.publisher = p }

// SetSecrets attaches the secrets. Without them GetVariables and GetConnections are
// UNAVAILABLE. allowInsecure delivers them over channels without confidentiality
// too: the operator said so (SECRET-1).
func (s *Server) SetSecrets(store SecretsStore, allowInsecure bool) {
	s.secrets = store
	s.deliverer, _ = store.(SecretsDeliverer)
	s.guard.AllowPlaintext = allowInsecure
}

// Drain ends the open log streams with UNAVAILABLE, after what they received is
// durable and acknowledged (LOG-10). New ones end at once.
func (s *Server) Drain() { s.drainOnce.Do(func() { close(s.drain) }) }

// unary runs a handler of one RPC behind the steps that its context does not show
// as done.
func unary[Req, Resp any](
	ctx context.Context, s *Server, method string, req Req, ready interceptor.Ready,
	handle func(*Server, context.Context, auth.AgentIdentity, Req) (Resp, error),
) (none Resp, _ error) {
	call, err := s.guard.Passed(ctx, ready)
	if err != nil {
		return none, err
	}
	if call != nil { // as nearly always: what follows makes objects
		return handle(s, ctx, *call.Agent, req)
	}
	return interceptor.Unary(ctx, &s.guard, method, req, ready,
		func(ctx context.Context, call *interceptor.Call, req Req) (Resp, error) {
			return handle(s, ctx, *call.Agent, req)
		})
}

func (s *Server) secretsReady() error {
	if s.secrets == nil {
		return rpcstatus.New(codes.Unavailable, rpcstatus.ReasonNotConfigured, "no secrets are configured", nil)
	}
	return nil
}

// clampInt32 fits n into what the wire can hold.
func clampInt32(n int64) int32 {
	return int32(min(max(n, math.MinInt32), math.MaxInt32))
}
