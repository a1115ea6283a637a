package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// ListRuns lists runs, the newest first.
func (s *Server) ListRuns(ctx context.Context, req *controlv1.ListRunsRequest) (*controlv1.ListRunsResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_ListRuns_FullMethodName, req, s.listRuns)
}

func (s *Server) listRuns(ctx context.Context, by auth.OperatorIdentity, req *controlv1.ListRunsRequest) (*controlv1.ListRunsResponse, error) {
	runs, next, err := listing[int64, domain.RunSummary, *controlv1.Run]{
		scope: []string{"runs", by.TenantID, req.GetDagId()},
		load: func(before int64, limit int) ([]domain.RunSummary, error) {
			return s.Runs.ListRuns(ctx, req.GetDagId(), before, limit)
		},
		key:   func(r domain.RunSummary) int64 { return r.Seq },
		proto: runToProto,
	}.page(req)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListRunsResponse{Runs: runs, NextPageToken: next}, nil
}
