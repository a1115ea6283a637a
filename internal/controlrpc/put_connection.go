package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// PutConnection creates or replaces a connection, over a confidential channel only (SECRET-1).
func (s *Server) PutConnection(ctx context.Context, req *controlv1.PutConnectionRequest) (*controlv1.PutConnectionResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_PutConnection_FullMethodName, req,
		func(ctx context.Context, by auth.OperatorIdentity, req *controlv1.PutConnectionRequest) (*controlv1.PutConnectionResponse, error) {
			if err := s.Secrets.PutConnection(ctx, domain.Actor(by.Subject), req.GetConnectionId(), req.GetUri()); err != nil {
				return nil, err
			}
			return &controlv1.PutConnectionResponse{}, nil
		})
}
