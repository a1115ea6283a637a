// Command first-agent is an agent that a newcomer might write in ten minutes: it keeps
// some of the protocol's rules, and the conformance suite names those that it breaks.
// docs/conformance.md goes through it.
package main

import (
	"context"
	"log"
	"os"
	"os/exec"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	conn, err := grpc.NewClient(os.Getenv("LEOFLOW_CONTROL_PLANE_ADDR"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the process ends
	plane := agentv1.NewAgentServiceClient(conn)
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+os.Getenv("LEOFLOW_AGENT_TOKEN"))

	if _, err := plane.Register(ctx, &agentv1.RegisterRequest{}); err != nil {
		return err
	}
	spec, err := plane.GetTaskSpec(ctx, &agentv1.GetTaskSpecRequest{})
	if err != nil {
		return err
	}
	task := exec.Command("bash", "-c", spec.GetEntrypoint()) //nolint:gosec // what to run is what it was told
	task.Env = os.Environ()
	for name, value := range spec.GetEnvironment() {
		task.Env = append(task.Env, name+"="+value)
	}
	outcome := agentv1.TaskState_TASK_STATE_SUCCESS
	if task.Run() != nil {
		outcome = agentv1.TaskState_TASK_STATE_FAILED
	}
	_, err = plane.ReportState(ctx, &agentv1.ReportStateRequest{State: outcome})
	return err
}
