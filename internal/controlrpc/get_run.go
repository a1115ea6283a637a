package controlrpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
)

// GetRun returns a run, and how many of its tasks are in which state.
func (s *Server) GetRun(ctx context.Context, req *controlv1.GetRunRequest) (*controlv1.GetRunResponse, error) {
	return unary(ctx, s, controlv1.ControlService_GetRun_FullMethodName, req, s.getRun)
}

func (s *Server) getRun(ctx context.Context, req *controlv1.GetRunRequest) (*controlv1.GetRunResponse, error) {
	run, err := s.Runs.Run(ctx, runKey(req))
	if err != nil {
		return nil, err
	}
	return &controlv1.GetRunResponse{Run: runToProto(run)}, nil
}

func runToProto(r domain.RunSummary) *controlv1.Run {
	out := &controlv1.Run{
		DagId:      r.DagID,
		RunId:      r.RunID,
		DagVersion: r.DagVersion,
		CreatedAt:  timestamppb.New(r.CreatedAt),
		Revision:   r.Revision,
	}
	for _, state := range domain.States() {
		if n := r.Tasks[state]; n > 0 {
			out.Tasks = append(out.Tasks, &controlv1.StateCount{
				State: policy.StateToProto(state),
				Count: int32(n), //nolint:gosec // a run has at most 10,000 tasks
			})
		}
	}
	return out
}
