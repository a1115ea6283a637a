package store

import (
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// LaunchAttempt begins a task's next try: try must be one more than its current.
// While the current try awaits its outcome that takes supersede, which settles it
// as failed with the cause superseded in the same transaction.
//
// The current try itself, while it is queued, is returned as it is: a repeated
// call. Anything else, a task that was settled without an attempt included, is
// domain.ErrPrecondition; a missing task is domain.ErrNotFound.
func (s *Store) LaunchAttempt(ctx context.Context, key domain.TaskKey, try int, supersede bool) (domain.Attempt, error) {
	var out domain.Attempt
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		task, err := findTask(ctx, tx.Tx, key)
		if err != nil {
			return err
		}
		row, err := tx.launch(ctx, task, try, supersede)
		if err != nil {
			return err
		}
		out = attemptOf(row)
		return nil
	})
	if err != nil {
		return domain.Attempt{}, err
	}
	return out, nil
}

func (tx *txn) launch(ctx context.Context, task *ent.TaskInstance, try int, supersede bool) (*ent.Attempt, error) {
	current, err := tx.currentAttempt(ctx, task)
	if err != nil {
		return nil, err
	}
	switch {
	case current != nil && try == task.CurrentTry && current.State == domain.TaskStateQueued:
		return current, nil
	case try != task.CurrentTry+1:
		return nil, fmt.Errorf("%w: try %d follows %d", domain.ErrPrecondition, try, task.CurrentTry)
	case current != nil && current.State.Live() && !supersede:
		return nil, fmt.Errorf("%w: try %d is live", domain.ErrPrecondition, task.CurrentTry)
	case !launchable(task, current):
		return nil, fmt.Errorf("%w: task was settled as %s", domain.ErrPrecondition, task.State)
	}
	if supersede && current != nil {
		if err := tx.supersede(ctx, current); err != nil {
			return nil, err
		}
	}
	if err := tx.advance(ctx, task, try); err != nil {
		return nil, err
	}
	return tx.insertAttempt(ctx, task, try)
}

// currentAttempt returns the attempt of the task's current try; nil: none was launched.
func (tx *txn) currentAttempt(ctx context.Context, task *ent.TaskInstance) (*ent.Attempt, error) {
	if task.CurrentTry == 0 {
		return nil, nil
	}
	return tx.Attempt.Query().Where(attempt.TaskPk(task.ID), attempt.Try(task.CurrentTry)).Only(ctx)
}

// launchable reports whether another attempt may follow the current one. A new try
// is a new path of the state table, so an attempt's outcome does not bar it; what
// SettleTask said does, and is told by its difference from the attempt's outcome.
func launchable(task *ent.TaskInstance, current *ent.Attempt) bool {
	if !task.State.Terminal() {
		return true
	}
	return current != nil && current.State == task.State
}

// supersede settles the current attempt, unless that has happened.
func (tx *txn) supersede(ctx context.Context, current *ent.Attempt) error {
	n, err := tx.Attempt.Update().Where(attempt.ID(current.ID), unsettled(domain.TaskStateFailed)).
		SetState(domain.TaskStateFailed).SetCause(domain.CauseSuperseded).SetEndedAt(tx.now).Save(ctx)
	if err != nil || n == 0 {
		return err
	}
	return tx.record(ctx, current.RunPk, domain.TaskChange{
		TaskID: current.TaskID, TryNumber: current.Try,
		State: domain.TaskStateFailed, Cause: domain.CauseSuperseded,
	})
}

// advance makes try the task's current one, if it still follows the current one.
func (tx *txn) advance(ctx context.Context, task *ent.TaskInstance, try int) error {
	n, err := tx.TaskInstance.Update().Where(taskinstance.ID(task.ID), taskinstance.CurrentTry(task.CurrentTry)).
		SetCurrentTry(try).SetState(domain.TaskStateQueued).Save(ctx)
	if err == nil && n == 0 {
		return errStillLive
	}
	return err
}

func (tx *txn) insertAttempt(ctx context.Context, task *ent.TaskInstance, try int) (*ent.Attempt, error) {
	row, err := tx.Attempt.Create().SetTenant(tx.tenant).SetTaskPk(task.ID).SetRunPk(task.RunPk).
		SetInstanceID(task.InstanceID).SetDagID(task.DagID).SetRunID(task.RunID).SetTaskID(task.TaskID).
		SetTry(try).SetTimeoutSeconds(task.TimeoutSeconds).
		SetState(domain.TaskStateQueued).SetQueuedAt(tx.now).Save(ctx)
	if err != nil {
		return nil, err
	}
	return row, tx.record(ctx, task.RunPk, domain.TaskChange{
		TaskID: task.TaskID, TryNumber: try, State: domain.TaskStateQueued,
	})
}
