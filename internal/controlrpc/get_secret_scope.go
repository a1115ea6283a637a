package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// GetSecretScope returns which secrets the tenant's tasks get (SECRET-3).
func (s *Server) GetSecretScope(ctx context.Context, req *controlv1.GetSecretScopeRequest) (*controlv1.GetSecretScopeResponse, error) {
	return unary(ctx, s, controlv1.ControlService_GetSecretScope_FullMethodName, req, s.getSecretScope)
}

func (s *Server) getSecretScope(ctx context.Context, _ *controlv1.GetSecretScopeRequest) (*controlv1.GetSecretScopeResponse, error) {
	stored, err := s.Secrets.SecretScope(ctx)
	if err != nil {
		return nil, err
	}
	scope, err := scopeToProto(stored)
	if err != nil {
		return nil, err
	}
	return &controlv1.GetSecretScopeResponse{Scope: scope}, nil
}
