package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// RetryTask has a task wait for another try. Its attempt, where that is live, is
// superseded, and its agent learns it on its next call (STATE-4, BEAT-3).
func (s *Server) RetryTask(ctx context.Context, req *controlv1.RetryTaskRequest) (*controlv1.RetryTaskResponse, error) {
	return unary(ctx, s, controlv1.ControlService_RetryTask_FullMethodName, req, s.retryTask)
}

func (s *Server) retryTask(ctx context.Context, req *controlv1.RetryTaskRequest) (*controlv1.RetryTaskResponse, error) {
	changed, err := s.Runs.RetryTask(ctx, taskKey(req), int(req.GetTryNumber()))
	if err != nil {
		return nil, err
	}
	return &controlv1.RetryTaskResponse{Changed: changed, NextTryNumber: req.GetTryNumber() + 1}, nil
}
