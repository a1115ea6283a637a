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

// What is done at the same time where many attempts are made: a database that has many
// writers has those of one run follow each other, so it is mostly runs.
const (
	runsAtOnce     = 16
	launchedAtOnce = 4 // of each run
)

// dag is the DAG of all runs.
const dag = "bench"

// NewSpec is a specification like those that [Populate] makes.
func NewSpec() *agentv1.TaskSpec {
	return &agentv1.TaskSpec{
		TenantId: "bench", DagId: dag, DagVersion: "1", RunId: "run", TaskId: "task", TryNumber: 1,
		Operator: "bash", Entrypoint: entrypoint, ExecutionTimeoutSeconds: 3600,
		XcomInputMapping: map[string]*agentv1.XComUpstreams{"in": {TaskIds: []string{Source}}},
	}
}

var entrypoint = strings.Repeat("echo a line of a script\n", specBytes/24)

// Population says which attempts are made, and in what.
type Population struct {
	// Conn, and the token of an operator of the tenant, by which they are made.
	Conn          grpc.ClientConnInterface
	OperatorToken string
	// Name is what the names of their runs begin with.
	Name string
	// Attempts is how many are launched.
	Attempts int
	// Tasks is how many a run has, [Source] aside; 0: as many as are launched of it, at
	// most 1,000.
	Tasks int
	// Entrypoint is that of the tasks; empty: one of 3 KiB.
	Entrypoint string
	// Running has their agents report that they run.
	Running bool
}

// Populate launches so many attempts, and returns their tokens. They are tasks of runs
// whose names begin so, and in which [Source] has ended well, with a value.
func Populate(ctx context.Context, conn grpc.ClientConnInterface, operatorToken, name string, attempts int) ([]string, error) {
	return Population{Conn: conn, OperatorToken: operatorToken, Name: name, Attempts: attempts}.Make(ctx)
}

// Make launches them, and returns their tokens, those of a run together.
func (p Population) Make(ctx context.Context) ([]string, error) {
	if p.Entrypoint == "" {
		p.Entrypoint = entrypoint
	}
	each := p.Tasks
	if each == 0 {
		each = tasksPerRun
	}
	out := make([]string, p.Attempts)
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runsAtOnce)
	for first := 0; first < p.Attempts; first += each {
		tokens := out[first:min(first+each, p.Attempts)]
		work.Go(func() error { return p.makeRun(ctx, p.run(first), tokens) })
	}
	return out, work.Wait()
}

// run is the name of the run whose first attempt is the nth of all.
func (p Population) run(n int) string { return fmt.Sprintf("%s-%d", p.Name, n) }

// taskName is the name of the nth task of a run.
func taskName(n int) string { return fmt.Sprintf("task-%d", n) }

// makeRun makes a run and launches an attempt for each of the tokens, which it sets.
func (p Population) makeRun(ctx context.Context, run string, tokens []string) error {
	plane := controlv1.NewControlServiceClient(p.Conn)
	ctx = asOperator(ctx, p.OperatorToken)
	if _, err := plane.CreateRun(ctx, p.request(run, max(p.Tasks, len(tokens)))); err != nil {
		return fmt.Errorf("create a run: %w", err)
	}
	token, err := launch(ctx, plane, run, Source)
	if err != nil {
		return err
	}
	if err := publish(p.Conn, NewAttempt(token)); err != nil {
		return fmt.Errorf("publish the value of %s: %w", Source, err)
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(launchedAtOnce)
	for i := range tokens {
		work.Go(func() (err error) {
			if tokens[i], err = launch(ctx, plane, run, taskName(i)); err == nil && p.Running {
				err = Report.call(agentv1.NewAgentServiceClient(p.Conn), NewAttempt(tokens[i]), 0)
			}
			return err
		})
	}
	return work.Wait()
}

// request is what creates a run with so many tasks.
func (p Population) request(run string, tasks int) *controlv1.CreateRunRequest {
	request := &controlv1.CreateRunRequest{DagId: dag, RunId: run, DagVersion: "1"}
	request.Tasks = append(request.Tasks, &controlv1.TaskDefinition{TaskId: Source, Operator: "bash", Entrypoint: "true"})
	for i := range tasks {
		request.Tasks = append(request.Tasks, &controlv1.TaskDefinition{
			TaskId: taskName(i), Operator: "bash", Entrypoint: p.Entrypoint, ExecutionTimeoutSeconds: 3600,
			Inputs: map[string]*controlv1.InputSources{"in": {TaskIds: []string{Source}}},
		})
	}
	return request
}

func asOperator(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// launch launches the first attempt of a task, and returns its agent's token.
func launch(ctx context.Context, plane controlv1.ControlServiceClient, run, task string) (string, error) {
	got, err := plane.LaunchAttempt(ctx, &controlv1.LaunchAttemptRequest{DagId: dag, RunId: run, TaskId: task, TryNumber: 1})
	if err != nil {
		return "", fmt.Errorf("launch an attempt of %s: %w", task, err)
	}
	return got.GetAgentToken(), nil
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
