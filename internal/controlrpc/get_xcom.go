package controlrpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// GetXCom returns what a task pushed in its current try, byte for byte (XCOM-4,
// XCOM-7). The limit of values is such that one fits a client's default message.
func (s *Server) GetXCom(ctx context.Context, req *controlv1.GetXComRequest) (*controlv1.GetXComResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_GetXCom_FullMethodName, req, s.getXCom)
}

func (s *Server) getXCom(ctx context.Context, by auth.OperatorIdentity, req *controlv1.GetXComRequest) (*controlv1.GetXComResponse, error) {
	key := xcom.Key{
		TenantID: by.TenantID, DagID: req.GetDagId(), RunID: req.GetRunId(), TaskID: req.GetTaskId(), Name: req.GetKey(),
	}
	if key.Name == "" {
		key.Name = domain.DefaultXComKey
	}
	entry, err := s.Values.Fetch(ctx, key)
	if err != nil {
		return nil, err
	}
	return &controlv1.GetXComResponse{
		Value:       entry.Value,
		ContentType: entry.ContentType,
		CreatedAt:   timestamppb.New(entry.CreatedAt),
	}, nil
}
