package agentrpc

import (
	"context"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
)

// GetVariables returns the variables that the task may see: over a confidential
// channel only (SECRET-1), of the caller's tenant only (SECRET-2).
func (s *Server) GetVariables(ctx context.Context, req *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
	return unary(ctx, s, agentv1.AgentService_GetVariables_FullMethodName, req, s.secretsReady, (*Server).getVariables)
}

func (s *Server) getVariables(ctx context.Context, id auth.AgentIdentity, _ *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
	variables, err := s.variables(ctx, id)
	if err != nil {
		return nil, secretsError(err)
	}
	return &agentv1.GetVariablesResponse{Variables: variables}, nil
}

func (s *Server) variables(ctx context.Context, id auth.AgentIdentity) (map[string]string, error) {
	if s.deliverer != nil {
		return s.deliverer.DeliverVariables(ctx, id)
	}
	return s.secrets.SecretVariables(ctx, id.TenantID)
}
