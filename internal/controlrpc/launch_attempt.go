package controlrpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// AttemptTokens are [Tokens] that know the terms of an attempt's tokens, so that
// they can be renewed (TOKEN-2). Tokens that are not mint ones that never are.
type AttemptTokens interface {
	// MintAttempt returns a token whose life counts from the attempt's launch, however
	// often that is repeated, and domain.ErrPrecondition where that life is over.
	// timeout is the execution time-out of the task; 0: none.
	MintAttempt(id auth.AgentIdentity, launched time.Time, timeout time.Duration) (token string, expires time.Time, err error)
}

// LaunchAttempt begins the next attempt of a task and mints the token for its agent.
func (s *Server) LaunchAttempt(ctx context.Context, req *controlv1.LaunchAttemptRequest) (*controlv1.LaunchAttemptResponse, error) {
	return unary(ctx, s, controlv1.ControlService_LaunchAttempt_FullMethodName, req, s.launchAttempt)
}

func (s *Server) launchAttempt(ctx context.Context, req *controlv1.LaunchAttemptRequest) (*controlv1.LaunchAttemptResponse, error) {
	attempt, err := s.Runs.LaunchAttempt(ctx, taskKey(req), int(req.GetTryNumber()), req.GetSupersede())
	if err != nil {
		return nil, err
	}
	token, expires, err := s.mintFor(attempt)
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

func (s *Server) mintFor(attempt domain.Attempt) (token string, expires time.Time, err error) {
	id := auth.IdentityOf(attempt.Ref)
	if tokens, ok := s.Tokens.(AttemptTokens); ok {
		return tokens.MintAttempt(id, attempt.QueuedAt, attempt.Timeout)
	}
	return s.Tokens.MintAgent(id, auth.FreshLife(attempt.Timeout))
}
