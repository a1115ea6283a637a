package interceptor

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// Guard holds what the steps need to know. Its fields are set before the first
// call and not changed after.
type Guard struct {
	Policies *policy.Table
	// The verifiers of tokens; a nil one refuses every token of its kind.
	AuthenticateAgent    func(token string) (*auth.AgentIdentity, error)
	AuthenticateOperator func(token string) (*auth.OperatorIdentity, error)
	// AuthenticateAttempt, where it is not nil, is asked instead of AuthenticateAgent, and
	// tells as well what else is known of the token.
	AuthenticateAttempt func(token string) (*auth.Bearer, error)
	// AllowPlaintext lets RPCs that need a confidential channel through on any
	// channel: the operator said so (SECRET-1).
	AllowPlaintext bool
	Logger         *slog.Logger // nil: slog.Default()
}

// Log is where failures are logged.
func (g *Guard) Log() *slog.Logger {
	if g.Logger == nil {
		return slog.Default()
	}
	return g.Logger
}

// Ready tells whether the service that an RPC needs is there; nil: it always is.
// It is asked after the request's validity and before the channel.
type Ready func() error

// Unary runs handle behind every step that the chain has not done: recovery, safe
// errors, authentication, policy, validation; then ready, then the channel.
func Unary[Req, Resp any](
	ctx context.Context, g *Guard, method string, req Req, ready Ready,
	handle func(context.Context, *Call, Req) (Resp, error),
) (resp Resp, err error) {
	if call, err := g.Passed(ctx, ready); err != nil {
		return resp, err
	} else if call != nil {
		return handle(ctx, call, req)
	}
	return unaryBehind(ctx, g, method, req, ready, handle)
}

// unaryBehind is [Unary] without a chain before it.
func unaryBehind[Req, Resp any](
	ctx context.Context, g *Guard, method string, req Req, ready Ready,
	handle func(context.Context, *Call, Req) (Resp, error),
) (resp Resp, err error) {
	err = g.run(ctx, method, func(ctx context.Context, call *Call) error {
		if err := g.Validate(call, req); err != nil {
			return err
		}
		if err := g.open(ctx, call, ready); err != nil {
			return err
		}
		resp, err = handle(ctx, call, req)
		return err
	})
	if err != nil {
		var none Resp
		return none, err
	}
	return resp, nil
}

// Stream is [Unary] for a streaming RPC. req is the one request of a
// server-streaming RPC; nil for a client stream, whose handler passes each message
// it receives to [Guard.Validate].
func Stream(
	stream grpc.ServerStream, g *Guard, method string, req any, ready Ready,
	handle func(context.Context, *Call) error,
) error {
	if call, err := g.Passed(stream.Context(), ready); err != nil {
		return err
	} else if call != nil {
		return handle(stream.Context(), call)
	}
	return g.run(stream.Context(), method, func(ctx context.Context, call *Call) error {
		if req != nil {
			if err := g.Validate(call, req); err != nil {
				return err
			}
		}
		if err := g.open(ctx, call, ready); err != nil {
			return err
		}
		return handle(ctx, call)
	})
}

// Passed returns the call that may be handled at once, after what the chain does not ask for;
// nil: the chain has not done all that is to be done before, as [Unary] and [Stream] do then.
func (g *Guard) Passed(ctx context.Context, ready Ready) (*Call, error) {
	call := CallFrom(ctx)
	if !call.passed() {
		return nil, nil
	}
	return call, g.open(ctx, call, ready)
}

// run does the steps before validation, and maps what comes out.
func (g *Guard) run(ctx context.Context, method string, body func(context.Context, *Call) error) (err error) {
	call := CallFrom(ctx)
	if call == nil {
		call = &Call{Method: method}
		ctx = withCall(ctx, call)
	}
	if !call.mapped {
		call.mapped = true
		defer func() {
			if p := recover(); p != nil {
				err = g.Panicked(ctx, call, p)
			}
			err = g.mapError(ctx, call, err)
		}()
	}
	if err = g.authenticate(ctx, call); err != nil {
		return err
	}
	if err = g.allow(call); err != nil {
		return err
	}
	return body(domain.WithTenant(ctx, call.tenant()), call)
}

// open asks for the service, then for the channel: the order of the contract.
func (g *Guard) open(ctx context.Context, call *Call, ready Ready) error {
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	return g.checkChannel(ctx, call)
}

// Panicked logs a panic with its stack and returns the error that stands for it
// (ERR-2). Handlers call it in the goroutines of their own, which nothing here guards.
func (g *Guard) Panicked(ctx context.Context, call *Call, p any) error {
	return logPanic(ctx, g.Log(), call.Method, call.RequestID(), p)
}

func logPanic(ctx context.Context, logger *slog.Logger, method, requestID string, p any) error {
	logSafely(ctx, logger, slog.LevelError, "handler panicked",
		"method", method, "request_id", requestID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return rpcstatus.New(codes.Internal, rpcstatus.ReasonInternal, rpcstatus.InternalMessage, nil)
}

// logSafely logs what stands between a fault and its answer: a log that panics in
// its turn would end the process, since nothing is further out.
func logSafely(ctx context.Context, logger *slog.Logger, level slog.Level, message string, attrs ...any) {
	defer func() { _ = recover() }()
	logger.Log(ctx, level, message, attrs...)
}

// mapError turns err into what a client may see, and logs what it may not.
func (g *Guard) mapError(ctx context.Context, call *Call, err error) error {
	if err == nil {
		return nil
	}
	public := rpcstatus.From(ctx, err, call.RequestID())
	level := slog.LevelDebug
	switch {
	case public.Code() == codes.Unavailable:
		level = slog.LevelWarn // it passes, or the operator chose it: shutting down, not configured
	case rpcstatus.Faulty(public.Code()):
		level = slog.LevelError
	case public.Code() == codes.Unauthenticated:
		level = slog.LevelInfo
	}
	logSafely(ctx, g.Log(), level, "call failed",
		"method", call.Method, "request_id", call.RequestID(), "code", public.Code().String(), "cause", err.Error())
	return public.Err()
}
