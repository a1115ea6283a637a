// Package interceptor holds the steps that stand between the wire and a handler,
// each written once for unary calls and streams, and their one order: [Chain].
//
// A handler that is called without the chain goes through the same steps by
// [Unary] or [Stream], which do what the call's context does not show as done.
//
// It may import internal/domain, internal/auth, internal/policy,
// internal/rpcstatus, gen, grpc, and the libraries of middleware and of rates.
package interceptor

import (
	"context"

	"github.com/neochaotic/leoflow/internal/auth"
)

// Call is what is known about the RPC under way. The steps fill it in their order;
// handlers read it. It belongs to the RPC's own goroutine.
type Call struct {
	Method    string // "/package.Service/Method"
	RequestID string // empty without the chain
	// One of them, once authenticated.
	Agent    *auth.AgentIdentity
	Operator *auth.OperatorIdentity

	mapped        bool // errors and panics are turned into statuses further out
	authenticated bool
	allowed       bool
	validated     bool // each message is validated as it arrives
	overRate      bool // refused as one of too many, so that its line in the log is, too
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
