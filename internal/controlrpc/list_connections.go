package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// ListConnections lists the names of connections, never what is in them.
func (s *Server) ListConnections(ctx context.Context, req *controlv1.ListConnectionsRequest) (*controlv1.ListConnectionsResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_ListConnections_FullMethodName, req,
		func(ctx context.Context, by auth.OperatorIdentity, req *controlv1.ListConnectionsRequest) (*controlv1.ListConnectionsResponse, error) {
			names, next, err := secretNames("connections", by, req, func(after string, limit int) ([]domain.SecretName, error) {
				return s.Secrets.ListConnections(ctx, after, limit)
			})
			if err != nil {
				return nil, err
			}
			return &controlv1.ListConnectionsResponse{Connections: names, NextPageToken: next}, nil
		})
}
