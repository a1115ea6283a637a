package bench

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// specBytes is about the size of a specification.
const specBytes = 3 << 10

// tasksPerRun keeps the message that creates a run within what transports take.
const tasksPerRun = 1000

// launchedAtOnce is how many attempts are launched at the same time.
const launchedAtOnce = 32

// NewSpec is a specification like those that [Populate] makes.
func NewSpec() *agentv1.TaskSpec {
	return &agentv1.TaskSpec{
		TenantId: "bench", DagId: "bench", DagVersion: "1", RunId: "run", TaskId: "task", TryNumber: 1,
		Operator: "bash", Entrypoint: entrypoint, ExecutionTimeoutSeconds: 3600,
		XcomInputMapping: map[string]*agentv1.XComUpstreams{"in": {TaskIds: []string{Source}}},
	}
}

var entrypoint = strings.Repeat("echo a line of a script\n", specBytes/24)

// Populate launches so many attempts, and returns their tokens. They are tasks of runs
// whose names begin so, and in which [Source] has ended well, with a value.
func Populate(ctx context.Context, conn grpc.ClientConnInterface, operatorToken, name string, attempts int) ([]string, error) {
	var out []string
	for len(out) < attempts {
		run := fmt.Sprintf("%s-%d", name, len(out))
		tokens, err := populateRun(ctx, conn, operatorToken, run, min(attempts-len(out), tasksPerRun))
		if err != nil {
			return nil, err
		}
		out = append(out, tokens...)
	}
	return out, nil
}

func populateRun(ctx context.Context, conn grpc.ClientConnInterface, operatorToken, run string, tasks int) ([]string, error) {
	plane := controlv1.NewControlServiceClient(conn)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+operatorToken)
	request := &controlv1.CreateRunRequest{DagId: "bench", RunId: run, DagVersion: "1"}
	request.Tasks = append(request.Tasks, &controlv1.TaskDefinition{TaskId: Source, Operator: "bash", Entrypoint: "true"})
	for i := range tasks {
		request.Tasks = append(request.Tasks, &controlv1.TaskDefinition{
			TaskId: fmt.Sprintf("task-%d", i), Operator: "bash", Entrypoint: entrypoint, ExecutionTimeoutSeconds: 3600,
			Inputs: map[string]*controlv1.InputSources{"in": {TaskIds: []string{Source}}},
		})
	}
	if _, err := plane.CreateRun(ctx, request); err != nil {
		return nil, fmt.Errorf("create a run: %w", err)
	}
	launch := func(ctx context.Context, task string) (string, error) {
		got, err := plane.LaunchAttempt(ctx, &controlv1.LaunchAttemptRequest{DagId: "bench", RunId: run, TaskId: task, TryNumber: 1})
		if err != nil {
			return "", fmt.Errorf("launch an attempt of %s: %w", task, err)
		}
		return got.GetAgentToken(), nil
	}
	token, err := launch(ctx, Source)
	if err != nil {
		return nil, err
	}
	if err := publish(conn, NewAttempt(token)); err != nil {
		return nil, fmt.Errorf("publish the value of %s: %w", Source, err)
	}
	tokens := make([]string, tasks)
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(launchedAtOnce)
	for i := range tasks {
		work.Go(func() (err error) {
			tokens[i], err = launch(ctx, fmt.Sprintf("task-%d", i))
			return err
		})
	}
	return tokens, work.Wait()
}

// publish pushes a value and ends the attempt well.
func publish(conn grpc.ClientConnInterface, a Attempt) error {
	client := agentv1.NewAgentServiceClient(conn)
	if err := Push.call(client, a, 0); err != nil {
		return err
	}
	for n := range 2 {
		if err := Report.call(client, a, n); err != nil {
			return err
		}
	}
	return nil
}
