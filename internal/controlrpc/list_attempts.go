package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
)

// ListAttempts lists the attempts of a task, the newest first.
func (s *Server) ListAttempts(ctx context.Context, req *controlv1.ListAttemptsRequest) (*controlv1.ListAttemptsResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_ListAttempts_FullMethodName, req, s.listAttempts)
}

func (s *Server) listAttempts(ctx context.Context, by auth.OperatorIdentity, req *controlv1.ListAttemptsRequest) (*controlv1.ListAttemptsResponse, error) {
	attempts, next, err := listing[int64, domain.Attempt, *controlv1.Attempt]{
		scope: []string{"attempts", by.TenantID, req.GetDagId(), req.GetRunId(), req.GetTaskId()},
		load: func(before int64, limit int) ([]domain.Attempt, error) {
			return s.Runs.ListAttempts(ctx, taskKey(req), int(before), limit)
		},
		key:   func(a domain.Attempt) int64 { return int64(a.Ref.TryNumber) },
		proto: attemptToProto,
	}.page(req)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListAttemptsResponse{Attempts: attempts, NextPageToken: next}, nil
}

func attemptToProto(a domain.Attempt) *controlv1.Attempt {
	return &controlv1.Attempt{
		TryNumber:         int32(a.Ref.TryNumber), //nolint:gosec // came in as an int32
		State:             policy.StateToProto(a.State),
		Cause:             protoOfCause[a.Cause],
		ExitCode:          int32(a.ExitCode), //nolint:gosec // came in as an int32
		Message:           a.Message,
		QueuedAt:          instant(a.QueuedAt),
		StartedAt:         instant(a.StartedAt),
		EndedAt:           instant(a.EndedAt),
		HeartbeatAt:       instant(a.HeartbeatAt),
		CancelRequestedAt: instant(a.CancelRequestedAt),
		StopBy:            instant(a.StopBy),
		AgentVersion:      a.Agent.Version,
		Hostname:          a.Agent.Hostname,
	}
}
