package store

import (
	"context"
	"fmt"
	"slices"

	"entgo.io/ent/dialect/sql"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/run"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// maxListed is the most entries that one call of a list returns: a page of the
// largest size, and the one more that tells whether there are more.
const maxListed = 1_001

// bounded returns limit within 1 and maxListed.
func bounded(limit int) int { return max(1, min(limit, maxListed)) }

// Run returns a run with how many of its tasks are in which state, or
// domain.ErrNotFound.
func (s *Store) Run(ctx context.Context, key domain.RunKey) (domain.RunSummary, error) {
	var out domain.RunSummary
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		row, err := knownRun(ctx, tx, key)
		if err != nil {
			return err
		}
		summaries, err := s.summarize(ctx, tx, []*ent.Run{row})
		if err != nil {
			return err
		}
		out = summaries[0]
		return nil
	})
	return out, err
}

// ListRuns returns at most limit (from 1 to 1,001) runs that are older than the one
// with the number before, the newest first; 0: from the newest on. Only runs of
// dagID; empty: of every DAG.
func (s *Store) ListRuns(ctx context.Context, dagID string, before int64, limit int) ([]domain.RunSummary, error) {
	var out []domain.RunSummary
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		query := tx.Run.Query()
		if dagID != "" {
			query.Where(run.DagID(dagID))
		}
		if before > 0 {
			query.Where(run.IDLT(before))
		}
		rows, err := query.Order(run.ByID(sql.OrderDesc())).Limit(bounded(limit)).All(ctx)
		if err != nil {
			return err
		}
		out, err = s.summarize(ctx, tx, rows)
		return err
	})
	return out, err
}

// knownRun returns the run, or domain.ErrNotFound.
func knownRun(ctx context.Context, tx *ent.Tx, key domain.RunKey) (*ent.Run, error) {
	row, err := findRun(ctx, tx, key)
	if none(err) {
		return nil, fmt.Errorf("%w: run", domain.ErrNotFound)
	}
	return row, err
}

// summarize counts the tasks of all rows, in one statement of those that have changed since
// they were counted last.
func (s *Store) summarize(ctx context.Context, tx *ent.Tx, rows []*ent.Run) ([]domain.RunSummary, error) {
	out := make([]domain.RunSummary, len(rows))
	var ids []int64
	at := map[int64]int{}
	for i, row := range rows {
		tasks, known := s.counts.get(row)
		if !known {
			tasks = map[domain.TaskState]int{}
			ids, at[row.ID] = append(ids, row.ID), i
		}
		out[i] = domain.RunSummary{
			RunKey:     domain.RunKey{DagID: row.DagID, RunID: row.RunID},
			DagVersion: row.DagVersion, CreatedAt: instant(row.CreatedAt),
			Revision: row.Revision, Seq: row.ID, Tasks: tasks,
		}
	}
	if len(ids) == 0 {
		return out, nil
	}
	var found []struct {
		RunPk int64            `json:"run_pk"`
		State domain.TaskState `json:"state"`
		Count int              `json:"count"`
	}
	err := tx.TaskInstance.Query().Where(taskinstance.RunPkIn(ids...)).
		GroupBy(taskinstance.FieldRunPk, taskinstance.FieldState).Aggregate(ent.Count()).Scan(ctx, &found)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		out[at[c.RunPk]].Tasks[c.State] = c.Count
	}
	for _, i := range at {
		s.counts.put(rows[i], out[i].Tasks)
	}
	return out, nil
}

// ListTasks returns at most limit (from 1 to 1,001) tasks of a run whose ids come after
// the id after, in the order of the bytes of their ids; empty: from the first on. A
// run that does not exist is domain.ErrNotFound.
func (s *Store) ListTasks(ctx context.Context, key domain.RunKey, after string, limit int) ([]domain.TaskSummary, error) {
	var out []domain.TaskSummary
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if _, err := knownRun(ctx, tx, key); err != nil {
			return err
		}
		rows, err := tx.TaskInstance.Query().
			Where(taskinstance.DagID(key.DagID), taskinstance.RunID(key.RunID), taskinstance.TaskIDGT(after)).
			Order(taskinstance.ByTaskID()).Limit(bounded(limit)).All(ctx)
		if err != nil {
			return err
		}
		out = make([]domain.TaskSummary, len(rows))
		for i, row := range rows {
			if out[i], err = taskSummary(row); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func taskSummary(row *ent.TaskInstance) (domain.TaskSummary, error) {
	spec, err := decodeSpec(row.Spec)
	if err != nil {
		return domain.TaskSummary{}, err
	}
	var upstream []string
	for _, sources := range spec.XComInputMapping {
		upstream = append(upstream, sources...)
	}
	slices.Sort(upstream)
	return domain.TaskSummary{
		Task:     taskOf(row),
		Operator: spec.Operator,
		Upstream: slices.Compact(upstream),
	}, nil
}

// ListAttempts returns at most limit (from 1 to 1,001) attempts of a task whose tries
// come before the try before, the newest first; 0: from the newest on. A task that
// does not exist is domain.ErrNotFound.
func (s *Store) ListAttempts(ctx context.Context, key domain.TaskKey, before, limit int) ([]domain.Attempt, error) {
	var out []domain.Attempt
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		task, err := findTask(ctx, tx, key)
		if err != nil {
			return err
		}
		query := tx.Attempt.Query().Where(attempt.TaskPk(task.ID))
		if before > 0 {
			query.Where(attempt.TryLT(before))
		}
		rows, err := query.Order(attempt.ByTry(sql.OrderDesc())).Limit(bounded(limit)).All(ctx)
		if err != nil {
			return err
		}
		out = make([]domain.Attempt, len(rows))
		for i, row := range rows {
			out[i] = attemptOf(row)
		}
		return nil
	})
	return out, err
}
