package agentrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// GetConnections returns the connections that the task may see, as [Server.GetVariables]
// does variables.
func (s *Server) GetConnections(ctx context.Context, req *agentv1.GetConnectionsRequest) (*agentv1.GetConnectionsResponse, error) {
	return unary(ctx, s, agentv1.AgentService_GetConnections_FullMethodName, req, s.secretsReady, (*Server).getConnections)
}

func (s *Server) getConnections(ctx context.Context, id auth.AgentIdentity, _ *agentv1.GetConnectionsRequest) (*agentv1.GetConnectionsResponse, error) {
	uris, err := s.connectionURIs(ctx, id)
	if err != nil {
		return nil, secretsError(err)
	}
	return &agentv1.GetConnectionsResponse{ConnectionUris: uris}, nil
}

func (s *Server) connectionURIs(ctx context.Context, id auth.AgentIdentity) (map[string]string, error) {
	if s.deliverer != nil {
		return s.deliverer.DeliverConnectionURIs(ctx, id)
	}
	return s.secrets.SecretConnectionURIs(ctx, id.TenantID)
}

// secretsError is err, but that an attempt which is not live is denied (SECRET-4).
func secretsError(err error) error {
	if errors.Is(err, domain.ErrNotLive) {
		return rpcstatus.New(codes.PermissionDenied, rpcstatus.ReasonNotLive, "the attempt is not live", err)
	}
	return err
}
