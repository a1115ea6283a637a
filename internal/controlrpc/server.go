// Package controlrpc serves leoflow.control.v1.ControlService, one RPC a file.
//
// It may import the layers below it (domain, policy, auth, xcom, logs,
// rpcstatus, interceptor) and gen, never internal/store nor ent: what it needs of them is said
// by the small interfaces here. The tenant is that of the caller's token; it reaches
// the store in the context.
package controlrpc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// Runs keeps runs, tasks and attempts of the context's tenant. What does not exist,
// or belongs to another tenant, is domain.ErrNotFound (ISO-3).
type Runs interface {
	// CreateRun stores a run; created is false where the same one was stored before.
	// It returns domain.ErrConflict where the name is taken by other content.
	CreateRun(ctx context.Context, run domain.NewRun) (stored domain.Run, created bool, err error)
	// LaunchAttempt begins try, which is one more than the current one, or returns
	// the current one while it is queued. It returns domain.ErrPrecondition for any
	// other try, and for a live current one unless supersede.
	LaunchAttempt(ctx context.Context, task domain.TaskKey, try int, supersede bool) (domain.Attempt, error)
	// SettleAttempt ends a live attempt (STATE-11); settled is false where it had
	// ended before, and then nothing changed.
	SettleAttempt(ctx context.Context, task domain.TaskKey, try int, outcome domain.Settlement) (stored domain.Attempt, settled bool, err error)
	// SettleTask ends a task that has no attempt; settled is false where it was in
	// that state before. In any other state it is domain.ErrPrecondition.
	SettleTask(ctx context.Context, task domain.TaskKey, state domain.TaskState) (settled bool, err error)
	// Attempt returns one attempt.
	Attempt(ctx context.Context, task domain.TaskKey, try int) (domain.Attempt, error)
	// RunChanges returns up to limit changes after a revision, in order.
	RunChanges(ctx context.Context, run domain.RunKey, after int64, limit int) ([]domain.TaskChange, error)
	// RunChanged returns a channel that is closed when this process next changes the
	// run. Take it before RunChanges, so as to miss nothing.
	RunChanged(ctx context.Context, run domain.RunKey) <-chan struct{}
}

// Secrets stores secrets of the context's tenant.
type Secrets interface {
	PutVariable(ctx context.Context, key, value string) error
	PutConnection(ctx context.Context, id, uri string) error
}

// Tokens verifies operators and mints what their agents get.
type Tokens interface {
	AuthenticateOperator(token string) (*auth.OperatorIdentity, error)
	MintAgent(id auth.AgentIdentity, life time.Duration) (token string, expires time.Time, err error)
}

// Config is what a [Server] is made of. Every field but Logger is needed.
type Config struct {
	Runs    Runs
	Secrets Secrets
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
