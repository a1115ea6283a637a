package store

import (
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// SettleAttempt gives an attempt the outcome of whoever launched it (STATE-11),
// unless it has one: it is then returned as it is, and false. The state must be one
// that ends an attempt, else it is domain.ErrPrecondition; a missing attempt is
// domain.ErrNotFound. The message is cut at 16 KiB.
func (s *Store) SettleAttempt(ctx context.Context, key domain.TaskKey, try int, to domain.Settlement) (domain.Attempt, bool, error) {
	if !to.State.Terminal() || !to.State.Reportable() {
		return domain.Attempt{}, false, fmt.Errorf("%w: %q ends no attempt", domain.ErrPrecondition, to.State)
	}
	message := stored(to.Message, domain.MaxErrorMessageBytes)
	var out domain.Attempt
	var settled bool
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		row, err := findTry(ctx, tx.Tx, key, try)
		if err != nil {
			return err
		}
		n, err := tx.Attempt.Update().Where(attempt.ID(row.ID), unsettled(to.State)).
			SetState(to.State).SetCause(to.Cause).SetExitCode(to.ExitCode).SetMessage(message).
			SetEndedAt(tx.now).Save(ctx)
		if err != nil {
			return err
		}
		if row, err = tx.Attempt.Query().Where(attempt.ID(row.ID)).Only(ctx); err != nil {
			return err
		}
		settled, out = n == 1, attemptOf(row)
		switch {
		case settled:
			return tx.moved(ctx, row)
		case row.State.Live():
			return errStillLive
		}
		return nil
	})
	if err != nil {
		return domain.Attempt{}, false, err
	}
	return out, settled, nil
}

// moved takes the new state of an attempt over into its task, if it is still the
// task's current try, and into the run's history.
func (tx *txn) moved(ctx context.Context, row *ent.Attempt) error {
	err := tx.TaskInstance.Update().Where(taskinstance.ID(row.TaskPk), taskinstance.CurrentTry(row.Try)).
		SetState(row.State).Exec(ctx)
	if err != nil {
		return err
	}
	return tx.record(ctx, row.RunPk, domain.TaskChange{
		TaskID: row.TaskID, TryNumber: row.Try, State: row.State, Cause: row.Cause,
		ExitCode: row.ExitCode, Message: row.Message,
	})
}

// SettleTask records that a task will not be launched: as skipped, or because
// another failed that it needs. It returns false when the task was in that state
// before. Another state to record, or a task that has an attempt under way or an
// outcome, is domain.ErrPrecondition; a missing task is domain.ErrNotFound.
func (s *Store) SettleTask(ctx context.Context, key domain.TaskKey, state domain.TaskState) (bool, error) {
	if state != domain.TaskStateSkipped && state != domain.TaskStateUpstreamFailed {
		return false, fmt.Errorf("%w: %q settles no task", domain.ErrPrecondition, state)
	}
	var settled bool
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		task, _, err := tx.holdTask(ctx, key)
		if err != nil {
			return err
		}
		n, err := tx.TaskInstance.Update().Where(taskinstance.ID(task.ID), taskinstance.StateIn(withoutAttempt(state)...)).
			SetState(state).Save(ctx)
		if err != nil {
			return err
		}
		if settled = n == 1; settled {
			return tx.record(ctx, task.RunPk, domain.TaskChange{TaskID: task.TaskID, TryNumber: task.CurrentTry, State: state})
		}
		if task, err = findTask(ctx, tx.Tx, key); err != nil || task.State == state {
			return err
		}
		return fmt.Errorf("%w: task is %s", domain.ErrPrecondition, task.State)
	})
	if err != nil {
		return false, err
	}
	return settled, nil
}

// withoutAttempt lists the states without an attempt under way that may become to.
func withoutAttempt(to domain.TaskState) []domain.TaskState {
	var from []domain.TaskState
	for _, state := range domain.Sources(to) {
		if !state.Live() {
			from = append(from, state)
		}
	}
	return from
}
