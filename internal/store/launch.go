package store

import (
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/predicate"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// LaunchAttempt begins a task's next try, which must be one more than its current.
// While the current try awaits its outcome that takes Supersede, which settles it
// as failed with the cause superseded in the same transaction.
//
// The current try itself, while it is queued, is returned as it is: a repeated
// call. Where it was launched with another idempotency key it is another caller's,
// and domain.ErrOtherCaller. Anything else is domain.ErrPrecondition, also a task
// that SettleTask or a cancel settled, unless RetryTask came after; a missing task
// is domain.ErrNotFound.
func (s *Store) LaunchAttempt(ctx context.Context, key domain.TaskKey, a domain.NewAttempt) (domain.Attempt, error) {
	var out domain.Attempt
	var spec []byte
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		task, current, err := tx.holdTask(ctx, key)
		if err != nil {
			return err
		}
		row, err := tx.launch(ctx, task, current, a)
		if err != nil {
			return err
		}
		out, spec = attemptOf(row), task.Spec
		return nil
	})
	if err != nil {
		return domain.Attempt{}, err
	}
	s.specs.launch(out.Ref, spec)
	return out, nil
}

func (tx *txn) launch(ctx context.Context, task *ent.TaskInstance, current *ent.Attempt, a domain.NewAttempt) (*ent.Attempt, error) {
	switch again := current != nil && a.Try == task.CurrentTry; {
	case again && a.IdempotencyKey != current.IdempotencyKey:
		return nil, fmt.Errorf("%w: try %d", domain.ErrOtherCaller, a.Try)
	case again && current.State == domain.TaskStateQueued:
		return current, nil
	case a.Try != task.CurrentTry+1:
		return nil, fmt.Errorf("%w: try %d follows %d", domain.ErrPrecondition, a.Try, task.CurrentTry)
	case current != nil && current.State.Live() && !a.Supersede:
		return nil, fmt.Errorf("%w: try %d is live", domain.ErrPrecondition, task.CurrentTry)
	}
	if err := tx.launchable(ctx, task, current); err != nil {
		return nil, err
	}
	if a.Supersede && current != nil {
		if err := tx.supersede(ctx, current); err != nil {
			return nil, err
		}
	}
	if err := tx.advance(ctx, task, a.Try); err != nil {
		return nil, err
	}
	return tx.insertAttempt(ctx, task, a)
}

// currentAttempt returns the attempt of the task's current try; nil: none was launched.
func (tx *txn) currentAttempt(ctx context.Context, task *ent.TaskInstance) (*ent.Attempt, error) {
	if task.CurrentTry == 0 {
		return nil, nil
	}
	return tx.Attempt.Query().Where(attempt.TaskPk(task.ID), attempt.Try(task.CurrentTry)).Only(ctx)
}

// launchable refuses a task that was settled past its attempts. A new try is a new
// path of the state table, so an attempt's outcome does not bar it; what SettleTask
// or a cancel said does, until RetryTask. It is told by its difference from the
// attempt's outcome; where both are the same, by the retry that lies between them.
func (tx *txn) launchable(ctx context.Context, task *ent.TaskInstance, current *ent.Attempt) error {
	if !task.State.Terminal() {
		return nil
	}
	settled := current == nil || current.State != task.State
	if !settled && task.State == domain.TaskStateSkipped {
		var err error
		if settled, err = tx.retried(ctx, task); err != nil {
			return err
		}
	}
	if settled {
		return fmt.Errorf("%w: task was settled as %s", domain.ErrPrecondition, task.State)
	}
	return nil
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

// asRead matches the task while it has the try and the state that were read.
func asRead(task *ent.TaskInstance) predicate.TaskInstance {
	return taskinstance.And(
		taskinstance.ID(task.ID), taskinstance.CurrentTry(task.CurrentTry), taskinstance.StateEQ(task.State))
}

// advance makes try the task's current one, if the task is still as it was read.
func (tx *txn) advance(ctx context.Context, task *ent.TaskInstance, try int) error {
	n, err := tx.TaskInstance.Update().Where(asRead(task)).
		SetCurrentTry(try).SetState(domain.TaskStateQueued).Save(ctx)
	if err == nil && n == 0 {
		return errStillLive
	}
	return err
}

func (tx *txn) insertAttempt(ctx context.Context, task *ent.TaskInstance, a domain.NewAttempt) (*ent.Attempt, error) {
	row, err := tx.Attempt.Create().SetTenant(tx.tenant).SetTaskPk(task.ID).SetRunPk(task.RunPk).
		SetInstanceID(task.InstanceID).SetDagID(task.DagID).SetRunID(task.RunID).SetTaskID(task.TaskID).
		SetTry(a.Try).SetTimeoutSeconds(task.TimeoutSeconds).SetIdempotencyKey(a.IdempotencyKey).
		SetState(domain.TaskStateQueued).SetQueuedAt(tx.now).Save(ctx)
	if err != nil {
		return nil, err
	}
	return row, tx.record(ctx, task.RunPk, domain.TaskChange{
		TaskID: task.TaskID, TryNumber: a.Try, State: domain.TaskStateQueued,
	})
}
