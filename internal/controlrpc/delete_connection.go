package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// DeleteConnection deletes a connection; one that is not there is NOT_FOUND.
func (s *Server) DeleteConnection(ctx context.Context, req *controlv1.DeleteConnectionRequest) (*controlv1.DeleteConnectionResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_DeleteConnection_FullMethodName, req,
		func(ctx context.Context, by auth.OperatorIdentity, req *controlv1.DeleteConnectionRequest) (*controlv1.DeleteConnectionResponse, error) {
			if err := s.Secrets.DeleteConnection(ctx, domain.Actor(by.Subject), req.GetConnectionId()); err != nil {
				return nil, err
			}
			return &controlv1.DeleteConnectionResponse{}, nil
		})
}
