package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
)

// ListTasks lists the tasks of a run, in the order of their ids.
func (s *Server) ListTasks(ctx context.Context, req *controlv1.ListTasksRequest) (*controlv1.ListTasksResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_ListTasks_FullMethodName, req, s.listTasks)
}

func (s *Server) listTasks(ctx context.Context, by auth.OperatorIdentity, req *controlv1.ListTasksRequest) (*controlv1.ListTasksResponse, error) {
	tasks, next, err := listing[string, domain.TaskSummary, *controlv1.Task]{
		scope: []string{"tasks", by.TenantID, req.GetDagId(), req.GetRunId()},
		load: func(after string, limit int) ([]domain.TaskSummary, error) {
			return s.Runs.ListTasks(ctx, runKey(req), after, limit)
		},
		key:   func(t domain.TaskSummary) string { return t.TaskID },
		proto: taskToProto,
	}.page(req)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListTasksResponse{Tasks: tasks, NextPageToken: next}, nil
}

func taskToProto(t domain.TaskSummary) *controlv1.Task {
	return &controlv1.Task{
		TaskId:          t.TaskID,
		TaskInstanceId:  t.TaskInstanceID,
		State:           policy.StateToProto(t.State),
		TryNumber:       int32(t.TryNumber), //nolint:gosec // came in as an int32
		Operator:        t.Operator,
		UpstreamTaskIds: t.Upstream,
	}
}
