package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// ListVariables lists the names of variables, never what is in them.
func (s *Server) ListVariables(ctx context.Context, req *controlv1.ListVariablesRequest) (*controlv1.ListVariablesResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_ListVariables_FullMethodName, req,
		func(ctx context.Context, by auth.OperatorIdentity, req *controlv1.ListVariablesRequest) (*controlv1.ListVariablesResponse, error) {
			names, next, err := secretNames("variables", by, req, func(after string, limit int) ([]domain.SecretName, error) {
				return s.Secrets.ListVariables(ctx, after, limit)
			})
			if err != nil {
				return nil, err
			}
			return &controlv1.ListVariablesResponse{Variables: names, NextPageToken: next}, nil
		})
}

// secretNames pages through the names of one kind of secrets.
func secretNames(
	kind string, by auth.OperatorIdentity, req pageRequest, load func(after string, limit int) ([]domain.SecretName, error),
) ([]*controlv1.SecretName, string, error) {
	return listing[string, domain.SecretName, *controlv1.SecretName]{
		scope: []string{kind, by.TenantID},
		load:  load,
		key:   func(n domain.SecretName) string { return n.Name },
		proto: func(n domain.SecretName) *controlv1.SecretName {
			return &controlv1.SecretName{Name: n.Name, UpdatedAt: instant(n.UpdatedAt)}
		},
	}.page(req)
}
