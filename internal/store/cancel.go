package store

import (
	"cmp"
	"context"
	"time"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/predicate"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// CancelTask asks the live attempt of a task to stop within a time from now: a
// cancel is then pending until the attempt settles. Asked again, the first request
// stays, and the earlier of the deadlines. A task without an attempt under way is
// settled as skipped, if its state allows; one that is settled stays as it is. A
// missing task is domain.ErrNotFound.
func (s *Store) CancelTask(ctx context.Context, key domain.TaskKey, within time.Duration) (domain.Cancellation, error) {
	var out domain.Cancellation
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		task, _, err := tx.holdTask(ctx, key)
		if err != nil {
			return err
		}
		if err := tx.cancel(ctx, within, attempt.TaskPk(task.ID)); err != nil {
			return err
		}
		if _, err := tx.skip(ctx, task.RunPk, taskinstance.ID(task.ID)); err != nil {
			return err
		}
		out, err = tx.cancellation(ctx, task.ID)
		return err
	})
	if err != nil {
		return domain.Cancellation{}, err
	}
	return out, nil
}

// CancelRun does to every task of a run what CancelTask does to one, all in one
// transaction. A missing run is domain.ErrNotFound.
func (s *Store) CancelRun(ctx context.Context, key domain.RunKey, within time.Duration) (domain.RunCancellation, error) {
	var out domain.RunCancellation
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		row, err := knownRun(ctx, tx.Tx, key)
		if err != nil {
			return err
		}
		if err := tx.holdRun(ctx, row.ID, idle()); err != nil {
			return err
		}
		if err := tx.cancel(ctx, within, attempt.RunPk(row.ID)); err != nil {
			return err
		}
		if out.Skipped, err = tx.skip(ctx, row.ID, taskinstance.RunPk(row.ID)); err != nil {
			return err
		}
		if launched, err := tx.Attempt.Query().Where(attempt.RunPk(row.ID), live()).Exist(ctx); err != nil || launched {
			return cmp.Or(err, errStillLive) // launched since
		}
		out.Pending, err = tx.Attempt.Query().
			Where(attempt.RunPk(row.ID), liveState(), attempt.CancelRequestedAtNotNil()).Count(ctx)
		return err
	})
	if err != nil {
		return domain.RunCancellation{}, err
	}
	return out, nil
}

// cancel makes a cancel pending for each live attempt of those, and brings later
// deadlines of earlier cancels forward.
func (tx *txn) cancel(ctx context.Context, within time.Duration, of predicate.Attempt) error {
	stopBy := tx.now + within.Microseconds()
	err := tx.Attempt.Update().Where(of, liveState(), attempt.CancelStopByGT(stopBy)).
		SetCancelStopBy(stopBy).Exec(ctx)
	if err != nil {
		return err
	}
	return tx.Attempt.Update().Where(of, live()).
		SetCancelRequestedAt(tx.now).SetCancelStopBy(stopBy).Exec(ctx)
}

// idle matches a task without an attempt under way and without an outcome.
func idle() predicate.TaskInstance {
	return taskinstance.StateIn(withoutAttempt(domain.TaskStateSkipped)...)
}

// skip settles those tasks of a run that have no attempt under way and no outcome,
// and returns how many that were.
func (tx *txn) skip(ctx context.Context, runPk int64, of predicate.TaskInstance) (int, error) {
	rows, err := tx.TaskInstance.Query().Where(of, idle()).Order(taskinstance.ByPosition()).
		Select(taskinstance.FieldTaskID, taskinstance.FieldCurrentTry).All(ctx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	n, err := tx.TaskInstance.Update().Where(of, idle()).SetState(domain.TaskStateSkipped).Save(ctx)
	if err != nil {
		return 0, err
	}
	if n != len(rows) {
		return 0, errStillLive // one was launched, or settled, since
	}
	changes := make([]domain.TaskChange, n)
	for i, row := range rows {
		changes[i] = domain.TaskChange{TaskID: row.TaskID, TryNumber: row.CurrentTry, State: domain.TaskStateSkipped}
	}
	return n, tx.record(ctx, runPk, changes...)
}

// cancellation returns what a task is after its cancel.
func (tx *txn) cancellation(ctx context.Context, taskPk int64) (domain.Cancellation, error) {
	task, err := tx.TaskInstance.Query().Where(taskinstance.ID(taskPk)).Only(ctx)
	if err != nil {
		return domain.Cancellation{}, err
	}
	current, err := tx.currentAttempt(ctx, task)
	switch {
	case err != nil:
		return domain.Cancellation{}, err
	case !task.State.Terminal() && (current == nil || current.CancelRequestedAt == nil):
		return domain.Cancellation{}, errStillLive // launched since
	}
	return domain.Cancellation{State: task.State, StopBy: stopBy(current)}, nil
}

// stopBy returns by when an attempt must have stopped; zero where no cancel is
// pending: there was none, or no attempt, or it has settled.
func stopBy(row *ent.Attempt) time.Time {
	if row == nil || !row.State.Live() {
		return time.Time{}
	}
	return laterInstant(row.CancelStopBy)
}
