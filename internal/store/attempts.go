package store

import (
	"context"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/predicate"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// Attempt returns an attempt, or domain.ErrNotFound.
func (s *Store) Attempt(ctx context.Context, key domain.TaskKey, try int) (domain.Attempt, error) {
	var out domain.Attempt
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		row, err := findTry(ctx, tx, key, try)
		if err != nil {
			return err
		}
		out = attemptOf(row)
		return nil
	})
	return out, err
}

// findTask returns the task instance, or domain.ErrNotFound.
func findTask(ctx context.Context, tx *ent.Tx, key domain.TaskKey) (*ent.TaskInstance, error) {
	row, err := tx.TaskInstance.Query().
		Where(taskinstance.DagID(key.DagID), taskinstance.RunID(key.RunID), taskinstance.TaskID(key.TaskID)).
		Only(ctx)
	if none(err) {
		return nil, fmt.Errorf("%w: task", domain.ErrNotFound)
	}
	return row, err
}

// findTry returns the attempt that an operator names, or domain.ErrNotFound.
func findTry(ctx context.Context, tx *ent.Tx, key domain.TaskKey, try int) (*ent.Attempt, error) {
	task, err := findTask(ctx, tx, key)
	if err != nil {
		return nil, err
	}
	row, err := tx.Attempt.Query().Where(attempt.TaskPk(task.ID), attempt.Try(try)).Only(ctx)
	if none(err) {
		return nil, fmt.Errorf("%w: try %d", domain.ErrNotFound, try)
	}
	return row, err
}

// findOwn returns the attempt that an agent's identity names, with all that the
// identity says, or domain.ErrUnknown.
func findOwn(ctx context.Context, tx *ent.Tx, ref domain.AttemptRef) (*ent.Attempt, error) {
	row, err := tx.Attempt.Query().Where(own(ref)).Only(ctx)
	if none(err) {
		return nil, domain.ErrUnknown
	}
	return row, err
}

// own matches the attempt that has every identifier of ref.
func own(ref domain.AttemptRef) predicate.Attempt {
	return attempt.And(
		attempt.Tenant(ref.TenantID), attempt.InstanceID(ref.TaskInstanceID), attempt.Try(ref.TryNumber),
		attempt.DagID(ref.DagID), attempt.RunID(ref.RunID), attempt.TaskID(ref.TaskID),
	)
}

// unsettled is the guard of a move to the state to, from the state table.
func unsettled(to domain.TaskState) predicate.Attempt {
	return attempt.StateIn(domain.Sources(to)...)
}

// liveStates are the states that an attempt can still leave.
var liveStates = func() []domain.TaskState {
	var live []domain.TaskState
	for _, state := range domain.States() {
		if state.Live() {
			live = append(live, state)
		}
	}
	return live
}()

// liveState matches an attempt that awaits its outcome. A cancel may be pending.
func liveState() predicate.Attempt { return attempt.StateIn(liveStates...) }

// live matches an attempt that may work on.
func live() predicate.Attempt {
	return attempt.And(liveState(), attempt.CancelRequestedAtIsNil())
}

// attemptOf returns an attempt as stored.
func attemptOf(row *ent.Attempt) domain.Attempt {
	return domain.Attempt{
		Ref:         refOf(row),
		State:       row.State,
		Cause:       row.Cause,
		ExitCode:    row.ExitCode,
		Message:     row.Message,
		Timeout:     time.Duration(row.TimeoutSeconds) * time.Second,
		QueuedAt:    instant(row.QueuedAt),
		StartedAt:   laterInstant(row.StartedAt),
		EndedAt:     laterInstant(row.EndedAt),
		HeartbeatAt: laterInstant(row.HeartbeatAt),

		CancelRequestedAt: laterInstant(row.CancelRequestedAt),
		StopBy:            laterInstant(row.CancelStopBy),
		Agent:             domain.AgentInfo{Version: row.AgentVersion, Hostname: row.Hostname},
	}
}

func refOf(row *ent.Attempt) domain.AttemptRef {
	return domain.AttemptRef{
		TaskInstanceID: row.InstanceID, TenantID: row.Tenant,
		DagID: row.DagID, RunID: row.RunID, TaskID: row.TaskID, TryNumber: row.Try,
	}
}
