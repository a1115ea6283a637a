package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// DeleteVariable deletes a variable; one that is not there is NOT_FOUND.
func (s *Server) DeleteVariable(ctx context.Context, req *controlv1.DeleteVariableRequest) (*controlv1.DeleteVariableResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_DeleteVariable_FullMethodName, req,
		func(ctx context.Context, by auth.OperatorIdentity, req *controlv1.DeleteVariableRequest) (*controlv1.DeleteVariableResponse, error) {
			if err := s.Secrets.DeleteVariable(ctx, domain.Actor(by.Subject), req.GetKey()); err != nil {
				return nil, err
			}
			return &controlv1.DeleteVariableResponse{}, nil
		})
}
