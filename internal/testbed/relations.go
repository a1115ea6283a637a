package testbed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// harmed is the database of a server, seen by somebody who harms it from outside.
type harmed interface {
	// harm takes all tables away, or keeps audit records from being made, or both; else it
	// mends what was harmed, by another process too. It outlives the process that did it.
	harm(ctx context.Context, down, unaudited bool) error
	// hold keeps the server from writing until release.
	hold(ctx context.Context) error
	release() error
}

func databaseOf(cfg Config) harmed {
	if cfg.Database != "" {
		return &relations{dsn: cfg.Database}
	}
	return &database{dir: cfg.DataDir}
}

// relations is a database of PostgreSQL.
type relations struct {
	dsn string

	mu   sync.Mutex
	db   *sql.DB
	lock *sql.Tx // keeps the server from writing; nil: nothing does
}

// tablesSQL lists the server's tables, whether they were taken away or not.
const tablesSQL = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename NOT LIKE 'goose%' ORDER BY 1`

func (r *relations) harm(ctx context.Context, down, unaudited bool) (err error) {
	db, err := sql.Open("pgx", r.dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing; before, the other error tells more
	tables, err := names(ctx, tx, tablesSQL)
	if err != nil {
		return err
	}
	var steps []string
	for _, table := range tables {
		name := strings.TrimPrefix(table, away)
		switch {
		case table != name:
			steps = append(steps, "ALTER TABLE "+table+" RENAME TO "+name)
		case name == "audit_events":
			steps = append(steps, "DROP TRIGGER IF EXISTS "+noAudit+" ON audit_events")
		}
	}
	if unaudited {
		steps = append(steps, "CREATE OR REPLACE FUNCTION "+noAudit+"() RETURNS trigger LANGUAGE plpgsql AS "+
			"$$ BEGIN RAISE EXCEPTION 'audit_events takes no record'; END $$",
			"CREATE TRIGGER "+noAudit+" BEFORE INSERT ON audit_events EXECUTE FUNCTION "+noAudit+"()")
	}
	if down {
		for _, table := range tables {
			name := strings.TrimPrefix(table, away)
			steps = append(steps, "ALTER TABLE "+name+" RENAME TO "+away+name)
		}
	}
	if err := execute(ctx, tx, steps...); err != nil {
		return fmt.Errorf("the database cannot be harmed or mended: %w", err)
	}
	return tx.Commit()
}

func (r *relations) hold(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lock != nil {
		return nil
	}
	db, err := sql.Open("pgx", r.dsn)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(context.WithoutCancel(ctx), nil) // the lock outlives the call
	if err != nil {
		return errors.Join(err, db.Close())
	}
	tables, err := names(ctx, tx, tablesSQL)
	if err == nil {
		err = execute(ctx, tx, "LOCK TABLE "+strings.Join(tables, ", ")+" IN EXCLUSIVE MODE")
	}
	if err != nil {
		return errors.Join(err, tx.Rollback(), db.Close())
	}
	r.db, r.lock = db, tx
	return nil
}

func (r *relations) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lock == nil {
		return nil
	}
	err := errors.Join(r.lock.Rollback(), r.db.Close())
	r.db, r.lock = nil, nil
	return err
}
