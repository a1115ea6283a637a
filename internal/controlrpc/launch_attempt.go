package controlrpc

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
)

// Deployed agents never renew a token, so one must outlive queueing and the task.
const (
	queueAllowance = 24 * time.Hour
	// untimedAllowance is for a task that may run as long as it likes.
	untimedAllowance = 30 * 24 * time.Hour
)

// LaunchAttempt begins the next attempt of a task and mints the token for its agent.
func (s *Server) LaunchAttempt(ctx context.Context, req *controlv1.LaunchAttemptRequest) (*controlv1.LaunchAttemptResponse, error) {
	return unary(ctx, s, controlv1.ControlService_LaunchAttempt_FullMethodName, req, s.launchAttempt)
}

func (s *Server) launchAttempt(ctx context.Context, req *controlv1.LaunchAttemptRequest) (*controlv1.LaunchAttemptResponse, error) {
	attempt, err := s.Runs.LaunchAttempt(ctx, taskKey(req), int(req.GetTryNumber()), req.GetSupersede())
	if err != nil {
		return nil, err
	}
	life := cmp.Or(attempt.Timeout, untimedAllowance) + queueAllowance
	token, expires, err := s.Tokens.MintAgent(auth.IdentityOf(attempt.Ref), life)
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
