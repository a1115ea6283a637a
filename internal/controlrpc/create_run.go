package controlrpc

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// maxFaultBytes bounds what is quoted of a schema's fault, which can repeat the
// schema: it travels as metadata, of which a client may take no more than 8 KiB.
const maxFaultBytes = 500

// CreateRun stores a run and the specifications of its tasks. The same request again
// returns the same run; another one of the same name is ALREADY_EXISTS.
func (s *Server) CreateRun(ctx context.Context, req *controlv1.CreateRunRequest) (*controlv1.CreateRunResponse, error) {
	return unary(ctx, s, controlv1.ControlService_CreateRun_FullMethodName, req, s.createRun)
}

func (s *Server) createRun(ctx context.Context, req *controlv1.CreateRunRequest) (*controlv1.CreateRunResponse, error) {
	run := domain.NewRun{RunKey: runKey(req), DagVersion: req.GetDagVersion(), IdempotencyKey: req.GetIdempotencyKey()}
	known := map[string]bool{}
	for i, task := range req.GetTasks() {
		if known[task.GetTaskId()] {
			return nil, rpcstatus.Field(fmt.Sprintf("tasks[%d].task_id", i), "is the id of an earlier task; give each task its own")
		}
		known[task.GetTaskId()] = true
	}
	for i, task := range req.GetTasks() {
		definition, err := definition(fmt.Sprintf("tasks[%d]", i), req.GetDagVersion(), task, known)
		if err != nil {
			return nil, err
		}
		run.Tasks = append(run.Tasks, definition)
	}
	stored, created, err := s.Runs.CreateRun(ctx, run)
	if err != nil {
		return nil, err
	}
	return &controlv1.CreateRunResponse{CreatedAt: timestamppb.New(stored.CreatedAt), Created: created}, nil
}

// definition checks what a proto rule cannot say: what refers to other tasks, and
// what is JSON inside text.
func definition(path, version string, task *controlv1.TaskDefinition, known map[string]bool) (domain.TaskDefinition, error) {
	none := domain.TaskDefinition{}
	inputs := make(map[string][]string, len(task.GetInputs()))
	for _, parameter := range slices.Sorted(maps.Keys(task.GetInputs())) {
		sources := task.GetInputs()[parameter].GetTaskIds()
		for j, source := range sources {
			field := fmt.Sprintf("%s.inputs[%s].task_ids[%d]", path, parameter, j)
			if !known[source] {
				return none, rpcstatus.Field(field, "names no task of this run")
			}
			if source == task.GetTaskId() {
				return none, rpcstatus.Field(field, "names the task itself")
			}
		}
		inputs[parameter] = sources
	}
	schema, err := xcom.CompileSchema([]byte(task.GetReturnSchemaJson()))
	if err != nil {
		return none, rpcstatus.Field(path+".return_schema_json", "is of no use: "+domain.CutString(err.Error(), maxFaultBytes))
	}
	if args := task.GetCallArgsJson(); args != "" && !json.Valid([]byte(args)) {
		return none, rpcstatus.Field(path+".call_args_json", "is not JSON")
	}
	return domain.TaskDefinition{
		TaskID: task.GetTaskId(),
		Spec: domain.TaskSpec{
			Operator:         task.GetOperator(),
			Entrypoint:       task.GetEntrypoint(),
			DagVersion:       version,
			Environment:      task.GetEnvironment(),
			XComInputMapping: inputs,
			XComSchema:       schema,
			TimeoutSeconds:   int(task.GetExecutionTimeoutSeconds()),
			CallArgsJSON:     task.GetCallArgsJson(),
		},
		Variables:   task.GetVariables(),
		Connections: task.GetConnections(),
	}, nil
}
