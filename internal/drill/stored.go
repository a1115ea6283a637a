package drill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// Stored is what a control plane holds of one run.
type Stored struct {
	Dag, Run string
	Tasks    map[string]*controlv1.Task
	Attempts map[Attempt]*StoredAttempt
	Values   map[string][]byte       // the return values, by their task
	Changes  []*controlv1.TaskChange // from the first to the last that made a task what it is
}

// StoredAttempt is an attempt and its log.
type StoredAttempt struct {
	*controlv1.Attempt
	Log []*controlv1.LogRecord
}

// ReadBack reads a run that nothing changes any more through an operator's client.
func ReadBack(ctx context.Context, client controlv1.ControlServiceClient, dag, run string) (*Stored, error) {
	s := &Stored{
		Dag: dag, Run: run,
		Tasks: map[string]*controlv1.Task{}, Attempts: map[Attempt]*StoredAttempt{}, Values: map[string][]byte{},
	}
	if err := s.readTasks(ctx, client); err != nil {
		return nil, fmt.Errorf("the tasks of %s: %w", run, err)
	}
	for id, task := range s.Tasks {
		if !begun(task) {
			continue // an attempt of it that somebody has seen is missed all the same
		}
		if err := s.readTask(ctx, client, id); err != nil {
			return nil, fmt.Errorf("task %s: %w", id, err)
		}
	}
	if err := s.readChanges(ctx, client); err != nil {
		return nil, fmt.Errorf("the changes of %s: %w", run, err)
	}
	return s, nil
}

// begun reports whether a task was ever to run: of a crowd most are not.
func begun(task *controlv1.Task) bool {
	return task.GetState() != policyv1.TaskState_TASK_STATE_NONE || task.GetTryNumber() > 0
}

func (s *Stored) readTasks(ctx context.Context, client controlv1.ControlServiceClient) error {
	for page := ""; ; {
		resp, err := client.ListTasks(ctx, &controlv1.ListTasksRequest{DagId: s.Dag, RunId: s.Run, PageToken: page})
		if err != nil {
			return err
		}
		for _, task := range resp.GetTasks() {
			s.Tasks[task.GetTaskId()] = task
		}
		if page = resp.GetNextPageToken(); page == "" {
			return nil
		}
	}
}

// readTask reads a task's attempts, their logs, and its return value.
func (s *Stored) readTask(ctx context.Context, client controlv1.ControlServiceClient, id string) error {
	for page := ""; ; {
		resp, err := client.ListAttempts(ctx, &controlv1.ListAttemptsRequest{DagId: s.Dag, RunId: s.Run, TaskId: id, PageToken: page})
		if err != nil {
			return err
		}
		for _, attempt := range resp.GetAttempts() {
			log, err := s.readLog(ctx, client, id, attempt.GetTryNumber())
			if err != nil {
				return err
			}
			s.Attempts[Attempt{s.Dag, s.Run, id, attempt.GetTryNumber()}] = &StoredAttempt{attempt, log}
		}
		if page = resp.GetNextPageToken(); page == "" {
			break
		}
	}
	value, err := client.GetXCom(ctx, &controlv1.GetXComRequest{DagId: s.Dag, RunId: s.Run, TaskId: id})
	switch {
	case err == nil:
		s.Values[id] = value.GetValue()
	case status.Code(err) != codes.NotFound:
		return err
	}
	return nil
}

func (s *Stored) readLog(ctx context.Context, client controlv1.ControlServiceClient, id string, try int32) ([]*controlv1.LogRecord, error) {
	stream, err := client.ReadLog(ctx, &controlv1.ReadLogRequest{DagId: s.Dag, RunId: s.Run, TaskId: id, TryNumber: try})
	if err != nil {
		return nil, err
	}
	var records []*controlv1.LogRecord
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		records = append(records, resp.GetRecords()...)
	}
}

// readChanges reads until every task is what it is listed as: a watch has no end.
func (s *Stored) readChanges(ctx context.Context, client controlv1.ControlServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.WatchRun(ctx, &controlv1.WatchRunRequest{DagId: s.Dag, RunId: s.Run})
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for id, task := range s.Tasks {
		if task.GetState() != policyv1.TaskState_TASK_STATE_NONE { // which no change leads to
			missing[id] = true
		}
	}
	for len(missing) > 0 {
		resp, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("%d tasks never became what they are listed as: %w", len(missing), err)
		}
		for _, change := range resp.GetChanges() {
			s.Changes = append(s.Changes, change)
			task := s.Tasks[change.GetTaskId()]
			if change.GetState() == task.GetState() && change.GetTryNumber() == task.GetTryNumber() {
				delete(missing, change.GetTaskId())
			}
		}
	}
	return nil
}
