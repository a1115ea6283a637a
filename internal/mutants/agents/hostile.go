package agents

import (
	"context"

	"google.golang.org/grpc"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/agent"
)

// The agents that run no task at all, and yet speak: by what they report of it.
const (
	// Liar reports each task as a success.
	Liar = "liar"
	// Denier reports each task as failed.
	Denier = "denier"
)

// pretend makes the calls of an agent in their order, and runs nothing.
func pretend(cfg agent.Config, up agentv1.AgentServiceClient, lie string) (int, error) {
	ctx := withToken(context.Background(), "Bearer "+cfg.Token)
	outcome := &agentv1.ReportStateRequest{State: success}
	if lie == Denier {
		outcome.State, outcome.ExitCode, outcome.ErrorMessage = agentv1.TaskState_TASK_STATE_FAILED, 1, "it failed"
	}
	wait := grpc.WaitForReady(true)
	_, err := up.Register(ctx, &agentv1.RegisterRequest{}, wait)
	if err == nil {
		_, err = up.GetTaskSpec(ctx, &agentv1.GetTaskSpecRequest{}, wait)
	}
	if err == nil {
		_, _ = up.GetVariables(ctx, &agentv1.GetVariablesRequest{})
		_, _ = up.GetConnections(ctx, &agentv1.GetConnectionsRequest{})
		_, err = up.ReportState(ctx, &agentv1.ReportStateRequest{State: running}, wait)
	}
	if err == nil {
		_, _ = up.Heartbeat(ctx, &agentv1.HeartbeatRequest{})
		_, err = up.PushXCom(ctx, &agentv1.PushXComRequest{Key: "return_value", Value: []byte("1")}, wait)
	}
	if err == nil {
		_, err = up.ReportState(ctx, outcome, wait)
	}
	if err != nil {
		return agent.ExitUnreported, err
	}
	return agent.ExitOK, nil
}
