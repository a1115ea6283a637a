package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/run"
	"github.com/neochaotic/leoflow/ent/taskchange"
	"github.com/neochaotic/leoflow/internal/domain"
)

// maxChanges is the most entries that one call of RunChanges returns.
const maxChanges = 1_000

// RunChanges returns at most limit (from 1 to 1,000) changes of the run whose
// revisions follow after, in order; none where there is nothing new. A run that
// does not exist is domain.ErrNotFound.
func (s *Store) RunChanges(ctx context.Context, key domain.RunKey, after int64, limit int) ([]domain.TaskChange, error) {
	var out []domain.TaskChange
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		row, err := knownRun(ctx, tx, key)
		if err != nil {
			return err
		}
		changes, err := tx.TaskChange.Query().
			Where(taskchange.RunPk(row.ID), taskchange.RevisionGT(after)).
			Order(taskchange.ByRevision()).Limit(max(1, min(limit, maxChanges))).All(ctx)
		if err != nil {
			return err
		}
		out = make([]domain.TaskChange, len(changes))
		for i, c := range changes {
			out[i] = domain.TaskChange{
				Revision: c.Revision, TaskID: c.TaskID, TryNumber: c.Try, State: c.State, Cause: c.Cause,
				ExitCode: c.ExitCode, Message: c.Message, At: instant(c.At),
			}
		}
		return nil
	})
	return out, err
}

// changesPerInsert keeps a statement under SQLite's 32,766 variables.
const changesPerInsert = 1_000

// record adds changes to the run's history, in their order. The run's row gives the
// revisions: its lock, held until the commit, makes them follow each other without
// holes and in the order of the commits.
func (tx *txn) record(ctx context.Context, runPk int64, changes ...domain.TaskChange) error {
	n, err := tx.Run.Update().Where(run.ID(runPk)).AddRevision(int64(len(changes))).Save(ctx)
	if err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("run of a task instance is missing")
	}
	row, err := tx.Run.Query().Where(run.ID(runPk)).Only(ctx)
	if err != nil {
		return err
	}
	tx.changed[watchKey{tx.tenant, domain.RunKey{DagID: row.DagID, RunID: row.RunID}}] = struct{}{}
	revision := row.Revision - int64(len(changes))
	for batch := range slices.Chunk(changes, changesPerInsert) {
		creates := make([]*ent.TaskChangeCreate, len(batch))
		for i, c := range batch {
			revision++
			creates[i] = tx.TaskChange.Create().SetTenant(tx.tenant).SetRunPk(runPk).SetRevision(revision).
				SetTaskID(c.TaskID).SetTry(c.TryNumber).SetState(c.State).SetCause(c.Cause).
				SetExitCode(c.ExitCode).SetMessage(c.Message).SetAt(tx.now)
		}
		if err := tx.TaskChange.CreateBulk(creates...).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}
