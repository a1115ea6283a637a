package pipeline

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// Run drives a pipeline until each of its tasks has an outcome, and prints a table
// of them. Tasks start when all that they wait for have succeeded; what cannot
// start any more is settled as such, and everything else goes on.
//
// What became of the tasks is in the result, failures included; an error says that
// the run could not be driven to its end. It is an [*InputError] where nothing
// started. When ctx ends, agents are asked to stop, then killed, what they left is
// settled, and the error wraps ctx's cause; that takes StopWait and a quarter of a
// minute more at most. No process and no goroutine outlives the call.
func Run(ctx context.Context, opts Options) (Result, error) {
	opts, err := opts.completed()
	if err != nil {
		return Result{}, err
	}
	if err := create(ctx, opts); err != nil {
		return Result{}, err
	}
	d := newDriver(ctx, opts)
	d.out.header(opts)
	d.drive(ctx)
	result := d.result()
	if err := d.out.table(result); err != nil && d.stopCause == nil {
		d.stopCause = fmt.Errorf("the output cannot be written: %w", err)
	}
	return result, d.stopCause
}

// create creates the run, which must be a new one.
func create(ctx context.Context, opts Options) error {
	req, err := createRequest(opts)
	if err != nil {
		return err
	}
	resp, again, err := call(ctx, opts.pace, opts.Client.CreateRun, req)
	code := status.Code(err)
	// A call made again may find the run that it created itself.
	if code == codes.AlreadyExists || err == nil && !resp.GetCreated() && !again {
		return &InputError{
			Problem: fmt.Sprintf("pipeline %q has a run %q already", opts.Pipeline.Name, opts.RunID),
			Remedy:  "give the run another id",
		}
	}
	switch {
	case err == nil:
		return nil
	case code == codes.InvalidArgument:
		return &InputError{
			Problem: fmt.Sprintf("the control plane refuses the run: %v", err),
			Remedy:  "change the pipeline file or the run id",
		}
	case ctx.Err() != nil:
		return fmt.Errorf("stopped before the run was created: %w", context.Cause(ctx))
	default:
		return fmt.Errorf("create the run: %w", err)
	}
}

func createRequest(opts Options) (*controlv1.CreateRunRequest, error) {
	req := &controlv1.CreateRunRequest{
		DagId: opts.Pipeline.Name, RunId: opts.RunID, DagVersion: opts.Pipeline.Version,
	}
	for _, d := range opts.Pipeline.Definitions() {
		task, err := definition(d)
		if err != nil {
			return nil, err
		}
		req.Tasks = append(req.Tasks, task)
	}
	return req, nil
}

// definition is a task as the control plane takes it.
func definition(d domain.TaskDefinition) (*controlv1.TaskDefinition, error) {
	task := &controlv1.TaskDefinition{
		TaskId: d.TaskID, Operator: d.Spec.Operator, Entrypoint: d.Spec.Entrypoint, Environment: d.Spec.Environment,
		ExecutionTimeoutSeconds: int32(d.Spec.TimeoutSeconds), //nolint:gosec // the file allows no more
		CallArgsJson:            d.Spec.CallArgsJSON,
		Variables:               d.Variables, Connections: d.Connections,
	}
	if d.Spec.XComSchema != nil {
		text, err := json.Marshal(d.Spec.XComSchema)
		if err != nil {
			return nil, fmt.Errorf("return schema of task %q: %w", d.TaskID, err)
		}
		task.ReturnSchemaJson = string(text)
	}
	if len(d.Spec.XComInputMapping) > 0 {
		task.Inputs = make(map[string]*controlv1.InputSources, len(d.Spec.XComInputMapping))
	}
	for parameter, sources := range d.Spec.XComInputMapping {
		task.Inputs[parameter] = &controlv1.InputSources{TaskIds: sources}
	}
	return task, nil
}
