package store

import (
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/taskchange"
	"github.com/neochaotic/leoflow/internal/domain"
)

// RetryTask has a task wait for the try after try, which must be its current one (0:
// none was launched), whatever became of that: the task is then up for retry, which
// begins a new path of the state table, and LaunchAttempt launches the next try,
// also where SettleTask or a cancel had settled the task. While the attempt awaits
// its outcome it is settled as failed with the cause superseded in the same
// transaction, its entry of the history first; a cancel that was pending ends with it.
//
// Until the next try is launched the current one stays the current one. So fetch
// goes on to serve what it pushed, as XCOM-7 says: a retry starts clean when it
// starts.
//
// It returns false, and changes nothing, where the task waited for that try before.
// Another current try is domain.ErrPrecondition; a missing task is domain.ErrNotFound.
func (s *Store) RetryTask(ctx context.Context, key domain.TaskKey, try int) (bool, error) {
	var changed bool
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		task, current, err := tx.holdTask(ctx, key)
		if err != nil {
			return err
		}
		if task.CurrentTry != try {
			return fmt.Errorf("%w: try %d is current, not %d", domain.ErrPrecondition, task.CurrentTry, try)
		}
		if changed = task.State != domain.TaskStateUpForRetry; !changed {
			return nil
		}
		return tx.retry(ctx, task, current)
	})
	return changed && err == nil, err
}

// retry makes the task wait for its next try, if it is still as it was read.
func (tx *txn) retry(ctx context.Context, task *ent.TaskInstance, current *ent.Attempt) error {
	if current != nil {
		if err := tx.supersede(ctx, current); err != nil {
			return err
		}
	}
	n, err := tx.TaskInstance.Update().Where(asRead(task)).SetState(domain.TaskStateUpForRetry).Save(ctx)
	switch {
	case err != nil:
		return err
	case n == 0:
		return errStillLive
	}
	return tx.record(ctx, task.RunPk, domain.TaskChange{
		TaskID: task.TaskID, TryNumber: task.CurrentTry, State: domain.TaskStateUpForRetry,
	})
}

// retried reports whether the task has waited for the try after its current one.
func (tx *txn) retried(ctx context.Context, task *ent.TaskInstance) (bool, error) {
	return tx.TaskChange.Query().Where(
		taskchange.RunPk(task.RunPk), taskchange.TaskID(task.TaskID), taskchange.Try(task.CurrentTry),
		taskchange.StateEQ(domain.TaskStateUpForRetry),
	).Exist(ctx)
}
