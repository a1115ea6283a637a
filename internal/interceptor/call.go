// Package interceptor holds the steps that stand between the wire and a handler,
// each written once for unary calls and streams, and their one order: [Chain].
//
// A handler that is called without the chain goes through the same steps by
// [Unary] or [Stream], which do what the call's context does not show as done.
//
// It may import internal/domain, internal/auth, internal/policy,
// internal/rpcstatus, gen, grpc, and the libraries of metrics and of ids.
package interceptor

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/policy"
)

// Call is what is known about the RPC under way. The steps fill it in their order;
// handlers read it. It belongs to the RPC's own goroutine.
type Call struct {
	Method string // "/package.Service/Method"
	// One of them, once authenticated. They are shared with other calls: read only.
	Agent    *auth.AgentIdentity
	Operator *auth.OperatorIdentity

	chosen        string       // the request id, where it is not drawn
	drawn         uuid.UUID    // the request id otherwise; none: there is no chain
	bearer        *auth.Bearer // who presented the agent's token; nil: only Agent is known
	method        *method      // nil without the chain
	mapped        bool         // errors and panics are turned into statuses further out
	authenticated bool
	allowed       bool
	validated     bool // each message is validated as it arrives
	overRate      bool // refused as one of too many, so that its line in the log is, too
}

// RequestID is the name of the call; empty without the chain. It is only made a text of for
// who reads it: hardly ever.
func (c *Call) RequestID() string {
	if c.drawn == uuid.Nil {
		return c.chosen
	}
	return c.drawn.String()
}

// Undue is the time before which the agent's token is not renewed; zero: nobody knows.
func (c *Call) Undue() time.Time {
	if c.bearer == nil {
		return time.Time{}
	}
	return c.bearer.Undue
}

// passed reports whether the chain has done all that it does before a handler.
func (c *Call) passed() bool {
	return c != nil && c.mapped && c.authenticated && c.allowed && c.validated
}

// policyOf is the policy of the call's method, which may have none.
func (g *Guard) policyOf(call *Call) (*policy.Method, bool) {
	if call.method != nil {
		return &call.method.policy, call.method.governed
	}
	method, ok := g.Policies.Method(call.Method)
	return &method, ok
}

type callKey struct{}

// CallFrom returns the RPC under way, or nil outside the chain.
func CallFrom(ctx context.Context) *Call {
	call, _ := ctx.Value(callKey{}).(*Call)
	return call
}

func withCall(ctx context.Context, call *Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}
