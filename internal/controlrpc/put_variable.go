package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// PutVariable creates or replaces a variable, over a confidential channel only (SECRET-1).
func (s *Server) PutVariable(ctx context.Context, req *controlv1.PutVariableRequest) (*controlv1.PutVariableResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_PutVariable_FullMethodName, req,
		func(ctx context.Context, by auth.OperatorIdentity, req *controlv1.PutVariableRequest) (*controlv1.PutVariableResponse, error) {
			if err := s.Secrets.PutVariable(ctx, domain.Actor(by.Subject), req.GetKey(), req.GetValue()); err != nil {
				return nil, err
			}
			return &controlv1.PutVariableResponse{}, nil
		})
}
