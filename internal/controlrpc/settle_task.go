package controlrpc

import (
	"context"
	"fmt"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/policy"
)

// SettleTask records that a task will not be launched in this run.
func (s *Server) SettleTask(ctx context.Context, req *controlv1.SettleTaskRequest) (*controlv1.SettleTaskResponse, error) {
	return unary(ctx, s, controlv1.ControlService_SettleTask_FullMethodName, req, s.settleTask)
}

func (s *Server) settleTask(ctx context.Context, req *controlv1.SettleTaskRequest) (*controlv1.SettleTaskResponse, error) {
	state, ok := policy.StateFromProto(req.GetState())
	if !ok {
		return nil, fmt.Errorf("validation let the state %v through", req.GetState())
	}
	settled, err := s.Runs.SettleTask(ctx, taskKey(req), state)
	if err != nil {
		return nil, err
	}
	return &controlv1.SettleTaskResponse{Settled: settled}, nil
}
