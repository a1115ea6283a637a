package agentrpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// Register returns the task instance id and the server's clock (REG-1); again and
// again, the same (REG-2). For an attempt that is not live it is
// FAILED_PRECONDITION, where the store can tell (REG-3).
func (s *Server) Register(ctx context.Context, req *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	return unary(ctx, s, agentv1.AgentService_Register_FullMethodName, req, nil, (*Server).register)
}

func (s *Server) register(ctx context.Context, id auth.AgentIdentity, req *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	if s.registrar != nil {
		if err := s.registrar.RegisterAgent(ctx, id, domain.AgentInfo{
			Version:  domain.CutString(req.GetAgentVersion(), domain.MaxAgentInfoBytes),
			Hostname: domain.CutString(req.GetHostname(), domain.MaxAgentInfoBytes),
		}); err != nil {
			return nil, err
		}
	}
	return &agentv1.RegisterResponse{
		SessionId:  id.TaskInstanceID,
		ServerTime: timestamppb.New(s.now()),
	}, nil
}
