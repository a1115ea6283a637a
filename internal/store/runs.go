package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/run"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// tasksPerInsert keeps a statement under SQLite's 32,766 variables.
const tasksPerInsert = 1_000

// CreateRun stores a run with its tasks, all in state none, and its tenant where
// that is new. Creating it again with the same content returns the run as it is,
// with the ids that its task instances have, and false, but true where it was created
// with the same idempotency key, other than empty; with other content it is
// domain.ErrConflict. A task id that comes twice is domain.ErrPrecondition.
func (s *Store) CreateRun(ctx context.Context, r domain.NewRun) (domain.Run, bool, error) {
	sum, err := digest(r)
	if err != nil {
		return domain.Run{}, false, err
	}
	if err := distinct(r.Tasks); err != nil {
		return domain.Run{}, false, err
	}
	var out domain.Run
	var created bool
	err = s.write(ctx, func(ctx context.Context, tx *txn) error {
		row, err := findRun(ctx, tx.Tx, r.RunKey)
		created = none(err)
		switch {
		case created:
			row, err = s.insertRun(ctx, tx, r, sum)
		case err == nil && !bytes.Equal(row.Digest, sum):
			return fmt.Errorf("%w: run", domain.ErrConflict)
		}
		if err != nil {
			return err
		}
		created = created || r.IdempotencyKey != "" && r.IdempotencyKey == row.IdempotencyKey
		out, err = loadRun(ctx, tx.Tx, row)
		return err
	})
	if err != nil {
		return domain.Run{}, false, err
	}
	return out, created, nil
}

// distinct refuses a task id that comes twice.
func distinct(tasks []domain.TaskDefinition) error {
	seen := make(map[string]struct{}, len(tasks))
	for _, t := range tasks {
		if _, twice := seen[t.TaskID]; twice {
			return fmt.Errorf("%w: task %q twice in a run", domain.ErrPrecondition, t.TaskID)
		}
		seen[t.TaskID] = struct{}{}
	}
	return nil
}

func findRun(ctx context.Context, tx *ent.Tx, key domain.RunKey) (*ent.Run, error) {
	return tx.Run.Query().Where(run.DagID(key.DagID), run.RunID(key.RunID)).Only(ctx)
}

func (s *Store) insertRun(ctx context.Context, tx *txn, r domain.NewRun, sum []byte) (*ent.Run, error) {
	if err := tx.ensureTenant(ctx); err != nil {
		return nil, err
	}
	row, err := tx.Run.Create().SetTenant(tx.tenant).SetDagID(r.DagID).SetRunID(r.RunID).
		SetDagVersion(readable(r.DagVersion)).SetDigest(sum).SetIdempotencyKey(r.IdempotencyKey).SetCreatedAt(tx.now).Save(ctx)
	if ent.IsConstraintError(err) {
		return nil, errStillLive // another writer has just created it
	}
	if err != nil {
		return nil, err
	}
	for first := 0; first < len(r.Tasks); first += tasksPerInsert {
		batch := r.Tasks[first:min(first+tasksPerInsert, len(r.Tasks))]
		creates := make([]*ent.TaskInstanceCreate, len(batch))
		for i, t := range batch {
			if creates[i], err = s.newTask(tx, row, first+i, t); err != nil {
				return nil, err
			}
		}
		if err := tx.TaskInstance.CreateBulk(creates...).Exec(ctx); err != nil {
			return nil, err
		}
	}
	return row, nil
}

func (s *Store) newTask(tx *txn, row *ent.Run, position int, t domain.TaskDefinition) (*ent.TaskInstanceCreate, error) {
	spec := t.Spec
	if spec.DagVersion == "" {
		spec.DagVersion = row.DagVersion
	}
	text, err := encodeSpec(spec)
	if err != nil {
		return nil, err
	}
	return tx.TaskInstance.Create().SetTenant(tx.tenant).SetRunPk(row.ID).SetInstanceID(s.newID()).
		SetDagID(row.DagID).SetRunID(row.RunID).SetTaskID(t.TaskID).SetPosition(position).
		SetState(domain.TaskStateNone).SetSpec(text).SetTimeoutSeconds(spec.TimeoutSeconds).
		SetVariables(t.Variables).SetConnections(t.Connections), nil
}

// loadRun returns the run with its tasks in the order of their creation.
func loadRun(ctx context.Context, tx *ent.Tx, row *ent.Run) (domain.Run, error) {
	tasks, err := tx.TaskInstance.Query().Where(taskinstance.RunPk(row.ID)).
		Order(taskinstance.ByPosition()).
		Select(taskinstance.FieldInstanceID, taskinstance.FieldTaskID, taskinstance.FieldState, taskinstance.FieldCurrentTry).
		All(ctx)
	if err != nil {
		return domain.Run{}, err
	}
	out := domain.Run{
		RunKey:     domain.RunKey{DagID: row.DagID, RunID: row.RunID},
		DagVersion: row.DagVersion,
		CreatedAt:  instant(row.CreatedAt),
		Tasks:      make([]domain.Task, len(tasks)),
	}
	for i, t := range tasks {
		out.Tasks[i] = taskOf(t)
	}
	return out, nil
}

func taskOf(row *ent.TaskInstance) domain.Task {
	return domain.Task{TaskInstanceID: row.InstanceID, TaskID: row.TaskID, State: row.State, TryNumber: row.CurrentTry}
}
