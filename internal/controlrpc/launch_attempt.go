package controlrpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// LaunchAttempt begins the next attempt of a task and mints the token for its agent.
// Of several callers that launch the same try with keys of their own, one gets it.
func (s *Server) LaunchAttempt(ctx context.Context, req *controlv1.LaunchAttemptRequest) (*controlv1.LaunchAttemptResponse, error) {
	return unary(ctx, s, controlv1.ControlService_LaunchAttempt_FullMethodName, req, s.launchAttempt)
}

func (s *Server) launchAttempt(ctx context.Context, req *controlv1.LaunchAttemptRequest) (*controlv1.LaunchAttemptResponse, error) {
	attempt, err := s.Runs.LaunchAttempt(ctx, taskKey(req), domain.NewAttempt{
		Try: int(req.GetTryNumber()), Supersede: req.GetSupersede(), IdempotencyKey: req.GetIdempotencyKey(),
	})
	if err != nil {
		return nil, err
	}
	// Its life counts from the launch, also when the launch is repeated (TOKEN-2).
	token, expires, err := s.Tokens.MintAttempt(auth.IdentityOf(attempt.Ref), attempt.QueuedAt, attempt.Timeout)
	if err != nil {
		return nil, err
	}
	return &controlv1.LaunchAttemptResponse{
		TaskInstanceId: attempt.Ref.TaskInstanceID,
		TryNumber:      req.GetTryNumber(),
		AgentToken:     token,
		TokenExpiresAt: timestamppb.New(expires),
	}, nil
}
