package otherplane

import (
	"context"
	"maps"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// onLive works on an attempt that is not settled.
func (f *fixtures) onLive(ref *conformancev1.AttemptRef, work func(*attempt)) error {
	return f.plane.store.with(func(st *store) error {
		a := st.attempt(identityOf(ref))
		switch {
		case a == nil:
			return status.Error(codes.NotFound, "there is no such attempt")
		case a.settled() || a.superseded():
			return status.Error(codes.FailedPrecondition, "the attempt is over")
		}
		work(a)
		return nil
	})
}

// CancelAttempt asks an attempt to stop.
func (f *fixtures) CancelAttempt(_ context.Context, req *conformancev1.CancelAttemptRequest) (*conformancev1.CancelAttemptResponse, error) {
	if !f.plane.choices.Cancel {
		return nil, cannot("cancels")
	}
	return &conformancev1.CancelAttemptResponse{}, f.onLive(req.GetAttempt(), func(a *attempt) {
		a.stopBy = f.plane.clock.now().Add(req.GetWithin().AsDuration())
	})
}

// SettleAttempt ends an attempt.
func (f *fixtures) SettleAttempt(_ context.Context, req *conformancev1.SettleAttemptRequest) (*conformancev1.SettleAttemptResponse, error) {
	return &conformancev1.SettleAttemptResponse{}, f.onLive(req.GetAttempt(), func(a *attempt) {
		a.state, a.cause, a.ended = policyv1.TaskState_TASK_STATE_FAILED, req.GetCause(), f.plane.clock.now()
	})
}

// PutSecrets stores secrets.
func (f *fixtures) PutSecrets(_ context.Context, req *conformancev1.PutSecretsRequest) (*conformancev1.PutSecretsResponse, error) {
	c := f.plane.choices
	switch {
	case !c.Secrets:
		return nil, cannot("secrets")
	case req.GetScope() == conformancev1.FixtureScope_FIXTURE_SCOPE_TENANT && !c.TenantScope:
		return nil, cannot("scope of the whole tenant")
	case req.GetScope() == conformancev1.FixtureScope_FIXTURE_SCOPE_DECLARED && !c.DeclaredScope:
		return nil, cannot("scope of what is declared")
	}
	return &conformancev1.PutSecretsResponse{}, f.plane.store.with(func(st *store) error {
		t := st.tenant(req.GetTenantId())
		maps.Copy(t.variables, req.GetVariables())
		maps.Copy(t.connections, req.GetConnections())
		switch req.GetScope() {
		case conformancev1.FixtureScope_FIXTURE_SCOPE_TENANT:
			t.declared = false
		case conformancev1.FixtureScope_FIXTURE_SCOPE_DECLARED:
			t.declared = true
		}
		return nil
	})
}
