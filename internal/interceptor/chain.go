package interceptor

import (
	"context"
	"log/slog"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// Chain is everything between the transport and the handlers.
type Chain struct {
	Guard   *Guard
	Rates   *Rates // nil: nobody calls too often
	Metrics *Metrics
	Logger  *slog.Logger
	// Authenticated is told of each call whose caller is known; nil: nobody is.
	Authenticated func(context.Context)

	newID func() uuid.UUID // draws request ids; nil: newRequestID
}

// links is the chain, outermost first. Tracing, where it is on, is a stats handler
// of the transport and so lies around all of it.
func (c Chain) links() []step {
	return []step{
		// Outermost: nothing inside can take the process down.
		c.recovery(),
		// So that everything after can name the call.
		c.requestID(),
		// Around everything that can refuse: refused calls are logged and counted.
		c.logging(),
		c.metrics(),
		// Errors become safe statuses exactly once; a panic further in is caught here
		// too, so that it is counted, and logged under its request id.
		c.status(),
		// Before validation: who is not known learns nothing of the request (AUTH-5).
		c.authenticate(),
		// Scope and role, from the table. The channel waits for the handler's wrapper:
		// the contract wants validity and presence of the service first.
		c.policy(),
		// Before validation, which costs something as well: who may call may do so at its
		// rate (LIMIT-2).
		c.rates(),
		// Innermost, and once for each message of a stream.
		c.validation(),
	}
}

// ServerOptions returns the chain for a grpc.Server.
func (c Chain) ServerOptions() []grpc.ServerOption {
	through := c.through(c.links())
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(through.unary), grpc.ChainStreamInterceptor(through.stream)}
}

// through is steps of the chain for calls to pass through.
func (c Chain) through(links []step) *passage {
	return newPassage(links, newMethods(c.Guard.Policies, c.Metrics))
}

func (c Chain) recovery() step {
	return step{rescue: func(p *pass, panicked any) error {
		return recovered(p, c.Logger, p.method.full, panicked)
	}}
}

func (c Chain) logging() step {
	return step{leave: func(p *pass, err error) error {
		c.finished(p, err)
		return err
	}}
}

func (c Chain) metrics() step {
	return step{
		enter: func(p *pass) error {
			p.method.meters().started.Inc()
			return nil
		},
		message: func(p *pass, _ any) error {
			p.method.meters().received.Inc()
			return nil
		},
		sent: func(p *pass) { p.method.meters().sent.Inc() },
		leave: func(p *pass, err error) error {
			meters := p.method.meters()
			if p.unary && err == nil {
				meters.sent.Inc()
			}
			meters.ended(codeOf(err), p.took())
			return err
		},
	}
}

// status maps errors and panics of everything further in.
func (c Chain) status() step {
	return step{
		enter: func(p *pass) error {
			p.current().mapped = true
			return nil
		},
		rescue: func(p *pass, panicked any) error {
			return c.Guard.Panicked(p, p.current(), panicked)
		},
		leave: func(p *pass, err error) error {
			if err == nil {
				return nil
			}
			if p.method.exempt {
				// Health and reflection are grpc's own, and so are their statuses.
				err = rpcstatus.Transport(err)
			}
			return c.Guard.mapError(p, p.current(), err)
		},
	}
}

func (c Chain) authenticate() step {
	return step{governed: true, enter: func(p *pass) error {
		call := p.current()
		if err := c.Guard.authenticate(p, call); err != nil {
			return err
		}
		p.Tenant = call.tenant()
		if c.Authenticated != nil {
			c.Authenticated(p)
		}
		return nil
	}}
}

func (c Chain) policy() step {
	return step{governed: true, enter: func(p *pass) error { return c.Guard.allow(p.current()) }}
}

func (c Chain) rates() step {
	return step{governed: true, enter: func(p *pass) error {
		if c.Rates == nil || p.method.policy.Rate == policy.NoRate {
			return nil
		}
		call := p.current()
		err := c.Rates.admit(p, p.method.policy.Rate, call, p.began, c.Logger)
		call.overRate = err != nil
		return err
	}}
}

func (c Chain) validation() step {
	return step{
		governed: true,
		enter: func(p *pass) error {
			p.current().validated = true
			return nil
		},
		message: func(_ *pass, message any) error { return validate(message) },
	}
}
