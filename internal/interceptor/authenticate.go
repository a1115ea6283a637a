package interceptor

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// authenticate puts the caller's identity into the call (AUTH-1). Which kind of token opens
// the method is read from its policy (AUTH-7); a method without one is refused.
func (g *Guard) authenticate(ctx context.Context, call *Call) error {
	if call.authenticated {
		return nil
	}
	err := g.identify(ctx, call)
	call.authenticated = err == nil
	return err
}

// tenant is the one in whose name the store is asked (AUTH-6): that of the token.
func (c *Call) tenant() string {
	switch {
	case c.Agent != nil:
		return c.Agent.TenantID
	case c.Operator != nil:
		return c.Operator.TenantID
	default:
		return ""
	}
}

func (g *Guard) identify(ctx context.Context, call *Call) error {
	token, err := bearerToken(ctx)
	if err != nil {
		return err
	}
	method, ok := g.policyOf(call)
	if !ok {
		return fmt.Errorf("%w: no policy for %s", auth.ErrRefused, call.Method)
	}
	switch method.Scope {
	case policy.ScopeAgent:
		err = g.identifyAgent(call, token)
	case policy.ScopeOperator:
		call.Operator, err = verify(g.AuthenticateOperator, token)
	default:
		err = fmt.Errorf("%w: scope %v", auth.ErrRefused, method.Scope)
	}
	return err
}

func (g *Guard) identifyAgent(call *Call, token string) (err error) {
	if g.AuthenticateAttempt == nil {
		call.Agent, err = verify(g.AuthenticateAgent, token)
		return err
	}
	bearer, err := verify(g.AuthenticateAttempt, token)
	if err == nil {
		call.Agent, call.bearer = &bearer.AgentIdentity, bearer
	}
	return err
}

// verify asks a verifier. Whatever it says beyond an identity is a refusal.
func verify[T any](verifier func(string) (*T, error), token string) (*T, error) {
	if verifier == nil {
		return nil, fmt.Errorf("%w: no verifier for this kind of token", auth.ErrRefused)
	}
	id, err := verifier(token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrRefused, err)
	}
	if id == nil {
		return nil, fmt.Errorf("%w: the verifier gave no identity", auth.ErrRefused)
	}
	return id, nil
}

// bearerToken returns the one token of the call's metadata.
func bearerToken(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return "", fmt.Errorf("%w: %d authorization values", auth.ErrRefused, len(values))
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", fmt.Errorf("%w: not a bearer token", auth.ErrRefused)
	}
	return token, nil
}

// allow holds the caller's role against the method's policy.
func (g *Guard) allow(call *Call) error {
	if call.allowed {
		return nil
	}
	method, _ := g.policyOf(call)
	if call.Operator != nil && !call.Operator.Role.Includes(auth.Role(method.Role)) {
		return rpcstatus.New(codes.PermissionDenied, rpcstatus.ReasonRole,
			"the token's role may not do this; it takes "+string(method.Role), nil)
	}
	call.allowed = true
	return nil
}
