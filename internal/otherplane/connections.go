package otherplane

import (
	"context"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// GetConnections delivers connections.
func (s *service) GetConnections(ctx context.Context, _ *agentv1.GetConnectionsRequest) (*agentv1.GetConnectionsResponse, error) {
	got, err := s.deliver(ctx, func(t *tenant) map[string]string { return t.connections }, (*conformancev1.FixtureTask).GetConnections)
	return &agentv1.GetConnectionsResponse{ConnectionUris: got}, err
}
