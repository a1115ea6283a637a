package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// CancelRun does to every task of a run what CancelTask does to one, at once.
func (s *Server) CancelRun(ctx context.Context, req *controlv1.CancelRunRequest) (*controlv1.CancelRunResponse, error) {
	return unary(ctx, s, controlv1.ControlService_CancelRun_FullMethodName, req, s.cancelRun)
}

func (s *Server) cancelRun(ctx context.Context, req *controlv1.CancelRunRequest) (*controlv1.CancelRunResponse, error) {
	cancelled, err := s.Runs.CancelRun(ctx, runKey(req), stopWithin(req.GetStopWithin()))
	if err != nil {
		return nil, err
	}
	return &controlv1.CancelRunResponse{
		Pending: int32(cancelled.Pending), //nolint:gosec // a run has at most 10,000 tasks
		Skipped: int32(cancelled.Skipped), //nolint:gosec // as above
	}, nil
}
