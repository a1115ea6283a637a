package store

import (
	"context"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/predicate"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// What is here makes a transaction on PostgreSQL decide by rows that nobody changes
// before it ends. On SQLite there is one writer, and all of it costs nothing.
//
// Locks are taken in the order attempt, task instance, run, and of several rows of one
// kind by their keys; those of secrets: the sealing, the tenant, the secret.

// holding takes the rows that a query reads until the transaction ends. Rows may still
// be added that point to them.
func holding(s *sql.Selector) {
	if s.Dialect() == dialect.Postgres {
		s.For(sql.LockNoKeyUpdate)
	}
}

// holdingFree is holding for those rows alone that nobody else has.
func holdingFree(s *sql.Selector) {
	if s.Dialect() == dialect.Postgres {
		s.For(sql.LockNoKeyUpdate, sql.WithLockAction(sql.SkipLocked))
	}
}

// holdTask returns the task and the attempt of its current try (nil: none was launched),
// neither of which anybody else changes before the transaction ends.
func (tx *txn) holdTask(ctx context.Context, key domain.TaskKey) (*ent.TaskInstance, *ent.Attempt, error) {
	task, err := findTask(ctx, tx.Tx, key)
	if err != nil {
		return nil, nil, err
	}
	var current *ent.Attempt
	if task.CurrentTry > 0 {
		query := tx.Attempt.Query().Where(attempt.TaskPk(task.ID), attempt.Try(task.CurrentTry))
		query.Modify(holding)
		if current, err = query.Only(ctx); err != nil {
			return nil, nil, err
		}
	}
	if !tx.postgres {
		return task, current, nil
	}
	query := tx.TaskInstance.Query().Where(taskinstance.ID(task.ID))
	query.Modify(holding)
	held, err := query.Only(ctx)
	if err == nil && held.CurrentTry != task.CurrentTry {
		err = errStillLive // launched since
	}
	return held, current, err
}

// holdRun takes the live attempts of a run, and those of its tasks that have none.
func (tx *txn) holdRun(ctx context.Context, runPk int64, idle predicate.TaskInstance) error {
	if !tx.postgres {
		return nil
	}
	attempts := tx.Attempt.Query().Where(attempt.RunPk(runPk), liveState()).Order(attempt.ByID())
	attempts.Modify(holding)
	if _, err := attempts.IDs(ctx); err != nil {
		return err
	}
	tasks := tx.TaskInstance.Query().Where(taskinstance.RunPk(runPk), idle).Order(taskinstance.ByID())
	tasks.Modify(holding)
	_, err := tasks.IDs(ctx)
	return err
}

// free reports whether an attempt matches, and takes it. One that somebody else has is
// being changed: it does not match.
func (tx *txn) free(ctx context.Context, match ...predicate.Attempt) (bool, error) {
	if !tx.postgres {
		return true, nil // the UPDATE that comes next tells
	}
	query := tx.Attempt.Query().Where(match...)
	query.Modify(holdingFree)
	ids, err := query.IDs(ctx)
	return len(ids) > 0, err
}

// holdTenant makes the tenant's row where it is missing, and takes it: the writes of its
// secrets follow each other.
func (tx *txn) holdTenant(ctx context.Context) error {
	if err := tx.ensureTenant(ctx); err != nil || !tx.postgres {
		return err
	}
	query := tx.Tenant.Query()
	query.Modify(holding)
	_, err := query.OnlyID(ctx)
	return err
}

// The keys of advisory locks, which PostgreSQL knows by number alone.
const (
	migrationLock = 0x6c656f666c6f7701 // "leoflow", 1
	sealingLock   = 0x6c656f666c6f7702
)

// holdSealing lets the transaction seal secrets; its caller seals afterwards. While any
// does, none has allSealed.
func holdSealing(ctx context.Context, tx *ent.Tx, postgres bool) error {
	if !postgres {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock_shared($1)", int64(sealingLock))
	return err
}

// allSealed waits for the end of every transaction that has sealed something, and lets
// none begin before this one ends: it sees all that was sealed under a key of before.
func allSealed(ctx context.Context, tx *ent.Tx, postgres bool) error {
	if !postgres {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(sealingLock))
	return err
}
