package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// PutVariable creates or replaces a variable, over a confidential channel only (SECRET-1).
func (s *Server) PutVariable(ctx context.Context, req *controlv1.PutVariableRequest) (*controlv1.PutVariableResponse, error) {
	return unary(ctx, s, controlv1.ControlService_PutVariable_FullMethodName, req,
		func(ctx context.Context, req *controlv1.PutVariableRequest) (*controlv1.PutVariableResponse, error) {
			if err := s.Secrets.PutVariable(ctx, req.GetKey(), req.GetValue()); err != nil {
				return nil, err
			}
			return &controlv1.PutVariableResponse{}, nil
		})
}
