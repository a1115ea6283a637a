package interceptor

import (
	"context"
	"log/slog"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"google.golang.org/grpc"

	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// Chain is everything between the transport and the handlers.
type Chain struct {
	Guard   *Guard
	Rates   *Rates // nil: nobody calls too often
	Metrics *grpcprom.ServerMetrics
	Logger  *slog.Logger
	// Authenticated is told of each call whose caller is known; nil: nobody is.
	Authenticated func(context.Context)
}

// link is one place in the chain.
type link struct {
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

// links is the chain, outermost first. Tracing, where it is on, is a stats handler
// of the transport and so lies around all of it.
func (c Chain) links() []link {
	return []link{
		// Outermost: nothing inside can take the process down.
		{RecoveryUnary(c.Logger), RecoveryStream(c.Logger)},
		// So that everything after can name the call.
		both(requestID()),
		// Around everything that can refuse: refused calls are logged and counted.
		c.logging(),
		{c.Metrics.UnaryServerInterceptor(), c.Metrics.StreamServerInterceptor()},
		// Errors become safe statuses exactly once; a panic further in is caught here
		// too, so that it is counted, and logged under its request id.
		both(c.status()),
		// Before validation: who is not known learns nothing of the request (AUTH-5).
		governed(both(c.authenticate())),
		// Scope and role, from the table. The channel waits for the handler's wrapper:
		// the contract wants validity and presence of the service first.
		governed(both(c.policy())),
		// Before validation, which costs something as well: who may call may do so at its
		// rate (LIMIT-2).
		governed(both(c.rates())),
		// Innermost, and once for each message of a stream.
		governed(both(c.validation())),
	}
}

// ServerOptions returns the chain for a grpc.Server.
func (c Chain) ServerOptions() []grpc.ServerOption {
	var unary []grpc.UnaryServerInterceptor
	var stream []grpc.StreamServerInterceptor
	for _, l := range c.links() {
		unary = append(unary, l.unary)
		stream = append(stream, l.stream)
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary...), grpc.ChainStreamInterceptor(stream...)}
}

func both(s step) link { return link{s.unary(), s.stream()} }

// exempt are the services without a policy, by name: health tells nothing of any
// tenant, and reflection is registered on loopback only. Everything else is
// refused unless its policy lets it through.
var exempt = []string{
	"grpc.health.v1.Health",
	"grpc.reflection.v1.ServerReflection",
	"grpc.reflection.v1alpha.ServerReflection",
}

// governed confines a link to the calls that are under a policy.
func governed(l link) link {
	match := selector.MatchFunc(func(_ context.Context, call interceptors.CallMeta) bool {
		return !isExempt(call.Service)
	})
	return link{
		selector.UnaryServerInterceptor(l.unary, match),
		selector.StreamServerInterceptor(l.stream, match),
	}
}

func isExempt(service string) bool {
	for _, name := range exempt {
		if name == service {
			return true
		}
	}
	return false
}

// status maps errors and panics of everything further in.
func (c Chain) status() step {
	return step{
		enter: func(ctx context.Context, _ string) (context.Context, error) {
			CallFrom(ctx).mapped = true
			return ctx, nil
		},
		leave: func(ctx context.Context, err error, panicked any) error {
			call := CallFrom(ctx)
			switch {
			case panicked != nil:
				err = c.Guard.Panicked(ctx, call, panicked)
			case isExempt(interceptors.NewServerCallMeta(call.Method, nil, nil).Service):
				// Health and reflection are grpc's own, and so are their statuses.
				err = rpcstatus.Transport(err)
			}
			return c.Guard.mapError(ctx, call, err)
		},
	}
}

func (c Chain) authenticate() step {
	return step{enter: func(ctx context.Context, _ string) (context.Context, error) {
		ctx, err := c.Guard.authenticate(ctx, CallFrom(ctx))
		if err == nil && c.Authenticated != nil {
			c.Authenticated(ctx)
		}
		return ctx, err
	}}
}

func (c Chain) policy() step {
	return step{enter: func(ctx context.Context, _ string) (context.Context, error) {
		return ctx, c.Guard.allow(CallFrom(ctx))
	}}
}

func (c Chain) rates() step {
	return step{enter: func(ctx context.Context, _ string) (context.Context, error) {
		call := CallFrom(ctx)
		method, _ := c.Guard.Policies.Method(call.Method)
		if c.Rates == nil || method.Rate == policy.NoRate {
			return ctx, nil
		}
		err := c.Rates.admit(ctx, method.Rate, call.Agent, c.Logger)
		call.overRate = err != nil
		return ctx, err
	}}
}

func (c Chain) validation() step {
	return step{
		enter: func(ctx context.Context, _ string) (context.Context, error) {
			CallFrom(ctx).validated = true
			return ctx, nil
		},
		message: func(_ context.Context, message any) error { return validate(message) },
	}
}
