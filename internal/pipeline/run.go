package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// Run drives a pipeline until each of its tasks has an outcome, and prints a table
// of them. Tasks start when the rule about what they wait for holds; what cannot
// start any more is settled as such, and everything else goes on. A task that failed
// is tried again as often as the file says, and whenever somebody asks the control
// plane for it while the run is driven.
//
// What became of the tasks is in the result, failures included; an error says that
// the run could not be driven to its end. It is an [*InputError] where nothing
// started. When ctx ends, the run is cancelled, agents are asked to stop, then
// killed, what they left is settled, and the error wraps ctx's cause; that takes StopWait and a quarter of a
// minute more at most. No process and no goroutine outlives the call.
func Run(ctx context.Context, opts Options) (Result, error) {
	opts, err := opts.completed()
	if err != nil {
		return Result{}, err
	}
	key := rand.Text()
	backlog, err := create(ctx, opts, key)
	if err != nil {
		return Result{}, err
	}
	d := newDriver(ctx, opts)
	d.key, d.backlog = key, backlog
	d.out.began(opts)
	d.drive(ctx)
	result := d.result()
	if err := d.out.ended(result, d.stopCause); err != nil && d.stopCause == nil {
		d.stopCause = fmt.Errorf("the output cannot be written: %w", err)
	}
	return result, d.stopCause
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
