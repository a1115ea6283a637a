// Package controlrpc serves leoflow.control.v1.ControlService, one RPC a file.
//
// It may import the layers below it (domain, policy, auth, xcom, logs, secrets,
// rpcstatus, interceptor) and gen, never internal/store nor ent: what it needs of them
// is said by the small interfaces here. The tenant is that of the caller's token; it
// reaches the store in the context.
package controlrpc

import (
	"context"
	"log/slog"
	"sync"

	"google.golang.org/grpc/codes"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// Config is what a [Server] is made of. Every field but Logger is needed.
type Config struct {
	Runs    Runs
	Values  Values
	Secrets Secrets
	Audit   Audit
	Logs    logs.Reader
	Tokens  Tokens
	// AllowPlaintext lets secrets come in over a channel that is not confidential.
	AllowPlaintext bool
	Logger         *slog.Logger
}

// Server serves ControlService. It is safe for concurrent use.
type Server struct {
	controlv1.UnimplementedControlServiceServer

	Config
	guard     interceptor.Guard
	drain     chan struct{}
	drainOnce sync.Once
}

// NewServer returns a server. It fails if an RPC of the service lacks a policy.
func NewServer(cfg Config) (*Server, error) {
	table, err := policy.Load(controlv1.File_leoflow_control_v1_control_proto)
	if err != nil {
		return nil, err
	}
	return &Server{
		Config: cfg,
		guard: interceptor.Guard{
			Policies:             table,
			AuthenticateOperator: cfg.Tokens.AuthenticateOperator,
			AllowPlaintext:       cfg.AllowPlaintext,
			Logger:               cfg.Logger,
		},
		drain: make(chan struct{}),
	}, nil
}

// Drain ends the open streams with UNAVAILABLE; their callers resume elsewhere.
func (s *Server) Drain() { s.drainOnce.Do(func() { close(s.drain) }) }

var errShuttingDown = rpcstatus.New(codes.Unavailable, rpcstatus.ReasonShuttingDown, "the server is shutting down; call again", nil)

// unary runs a handler behind the steps that its context does not show as done.
func unary[Req, Resp any](
	ctx context.Context, s *Server, method string, req Req,
	handle func(context.Context, Req) (Resp, error),
) (Resp, error) {
	return interceptor.Unary(ctx, &s.guard, method, req, nil,
		func(ctx context.Context, _ *interceptor.Call, req Req) (Resp, error) { return handle(ctx, req) })
}

// unaryAs is unary for a handler that must know who calls.
func unaryAs[Req, Resp any](
	ctx context.Context, s *Server, method string, req Req,
	handle func(context.Context, auth.OperatorIdentity, Req) (Resp, error),
) (Resp, error) {
	return interceptor.Unary(ctx, &s.guard, method, req, nil,
		func(ctx context.Context, call *interceptor.Call, req Req) (Resp, error) {
			return handle(ctx, *call.Operator, req)
		})
}

// runNamed and taskNamed are what requests of several RPCs have in common.
type runNamed interface {
	GetDagId() string
	GetRunId() string
}

type taskNamed interface {
	runNamed
	GetTaskId() string
}

func runKey(m runNamed) domain.RunKey {
	return domain.RunKey{DagID: m.GetDagId(), RunID: m.GetRunId()}
}

func taskKey(m taskNamed) domain.TaskKey {
	return domain.TaskKey{RunKey: runKey(m), TaskID: m.GetTaskId()}
}
