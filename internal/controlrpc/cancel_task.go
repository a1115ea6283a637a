package controlrpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
)

// CancelTask asks the current attempt of a task to stop, which its agent learns on
// its next heartbeat (BEAT-6). A task that was never launched is settled as skipped.
func (s *Server) CancelTask(ctx context.Context, req *controlv1.CancelTaskRequest) (*controlv1.CancelTaskResponse, error) {
	return unary(ctx, s, controlv1.ControlService_CancelTask_FullMethodName, req, s.cancelTask)
}

func (s *Server) cancelTask(ctx context.Context, req *controlv1.CancelTaskRequest) (*controlv1.CancelTaskResponse, error) {
	cancelled, err := s.Runs.CancelTask(ctx, taskKey(req), stopWithin(req.GetStopWithin()))
	if err != nil {
		return nil, err
	}
	return &controlv1.CancelTaskResponse{
		State:  policy.StateToProto(cancelled.State),
		StopBy: instant(cancelled.StopBy),
	}, nil
}

// stopWithin returns how long a cancelled task may take to stop.
func stopWithin(asked *durationpb.Duration) time.Duration {
	if asked == nil {
		return domain.StopWithin
	}
	return asked.AsDuration()
}

// instant returns a time that may not have come, as nil then.
func instant(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
