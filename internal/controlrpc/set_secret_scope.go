package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// SetSecretScope says which secrets the tenant's tasks get from their next call on
// (SECRET-3), and leaves a record of who said so.
func (s *Server) SetSecretScope(ctx context.Context, req *controlv1.SetSecretScopeRequest) (*controlv1.SetSecretScopeResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_SetSecretScope_FullMethodName, req, s.setSecretScope)
}

func (s *Server) setSecretScope(ctx context.Context, by auth.OperatorIdentity, req *controlv1.SetSecretScopeRequest) (*controlv1.SetSecretScopeResponse, error) {
	scope, err := scopeFromProto(req.GetScope())
	if err != nil {
		return nil, err
	}
	if err := s.Secrets.SetSecretScope(ctx, domain.Actor(by.Subject), scope); err != nil {
		return nil, err
	}
	return &controlv1.SetSecretScopeResponse{}, nil
}
