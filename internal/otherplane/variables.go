package otherplane

import (
	"context"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// GetVariables delivers variables.
func (s *service) GetVariables(ctx context.Context, _ *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
	got, err := s.deliver(ctx, func(t *tenant) map[string]string { return t.variables }, (*conformancev1.FixtureTask).GetVariables)
	return &agentv1.GetVariablesResponse{Variables: got}, err
}
