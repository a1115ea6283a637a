package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
)

// SettleAttempt ends an attempt whose process died without a word (STATE-11). One
// that ended before stays as it is (STATE-4).
func (s *Server) SettleAttempt(ctx context.Context, req *controlv1.SettleAttemptRequest) (*controlv1.SettleAttemptResponse, error) {
	return unary(ctx, s, controlv1.ControlService_SettleAttempt_FullMethodName, req, s.settleAttempt)
}

func (s *Server) settleAttempt(ctx context.Context, req *controlv1.SettleAttemptRequest) (*controlv1.SettleAttemptResponse, error) {
	attempt, settled, err := s.Runs.SettleAttempt(ctx, taskKey(req), int(req.GetTryNumber()), domain.Settlement{
		State:    domain.TaskStateFailed,
		Cause:    causeOfProto[req.GetCause()],
		ExitCode: int(req.GetExitCode()),
		Message:  domain.CutString(req.GetMessage(), domain.MaxErrorMessageBytes),
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.SettleAttemptResponse{
		Settled: settled,
		State:   policy.StateToProto(attempt.State),
		Cause:   protoOfCause[attempt.Cause],
	}, nil
}
