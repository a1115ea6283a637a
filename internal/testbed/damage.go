package testbed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// database is one of SQLite.
type database struct {
	dir string

	mu   sync.Mutex
	db   *sql.DB
	lock *sql.Conn // keeps the server from writing; nil: nothing does
}

// away begins the name of a table that was taken away.
const away = "away_"

// noAudit is the trigger that keeps audit records from being made.
const noAudit = "testbed_no_audit"

func (d *database) harm(ctx context.Context, down, unaudited bool) (err error) {
	path, err := d.path()
	if errors.Is(err, os.ErrNotExist) && !down && !unaudited {
		return nil
	}
	if err != nil {
		return err
	}
	db, err := open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing; before, the other error tells more
	steps := []func(context.Context, *sql.Tx) error{mend}
	if unaudited {
		steps = append(steps, refuseRecords)
	}
	if down {
		steps = append(steps, func(ctx context.Context, tx *sql.Tx) error { return takeAway(ctx, tx, path) })
	}
	for _, step := range steps {
		if err := step(ctx, tx); err != nil {
			return fmt.Errorf("the database cannot be harmed or mended: %w", err)
		}
	}
	return tx.Commit()
}

// path finds the database's file, or fs.ErrNotExist.
func (d *database) path() (string, error) {
	found, err := filepath.Glob(filepath.Join(d.dir, "*.db"))
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("database in %s: %w", d.dir, os.ErrNotExist)
	case len(found) > 1:
		return "", fmt.Errorf("%d databases are in %s", len(found), d.dir)
	}
	return filepath.Abs(found[0])
}

// open opens the database for who changes its schema: a table of another name is another
// table, whoever refers to it.
func open(path string) (*sql.DB, error) {
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "legacy_alter_table(1)"}}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
}

// mend undoes all harm.
func mend(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, "DROP TRIGGER IF EXISTS "+noAudit); err != nil {
		return err
	}
	gone, err := names(ctx, tx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB ?`, away+"*")
	if err != nil {
		return err
	}
	for _, table := range gone {
		name := strings.TrimPrefix(table, away)
		if err := execute(ctx, tx, "DROP VIEW "+name, "ALTER TABLE "+table+" RENAME TO "+name); err != nil {
			return err
		}
	}
	return nil
}

// refuseRecords lets no audit record be made.
func refuseRecords(ctx context.Context, tx *sql.Tx) error {
	return execute(ctx, tx, "CREATE TRIGGER "+noAudit+` BEFORE INSERT ON audit_events
		BEGIN SELECT RAISE(ABORT, 'audit_events takes no record'); END`)
}

// takeAway puts a view in the place of each table, that whoever reads or writes it gets
// an error of the driver from, which names the table and the file. It can be written, or
// SQLite would refuse to compile writes, after the table is back too: it looks for a new
// schema only when a statement runs.
func takeAway(ctx context.Context, tx *sql.Tx, path string) error {
	tables, err := names(ctx, tx, `SELECT name FROM sqlite_master WHERE type = 'table'
		AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'goose_*'`)
	if err != nil {
		return err
	}
	for _, table := range tables {
		columns, err := names(ctx, tx, `SELECT name FROM pragma_table_info(?)`, table)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll("sqlite: table "+table+" of "+path+" is gone", "'", "''")
		for i, column := range columns {
			columns[i] = "json_extract('{}', '" + text + "') AS `" + column + "`"
		}
		statements := []string{
			"ALTER TABLE " + table + " RENAME TO " + away + table,
			"CREATE VIEW " + table + " AS SELECT " + strings.Join(columns, ", "),
		}
		for _, event := range []string{"INSERT", "UPDATE", "DELETE"} {
			statements = append(statements, "CREATE TRIGGER "+away+table+"_"+event+" INSTEAD OF "+event+" ON "+table+
				" BEGIN SELECT RAISE(ABORT, '"+text+"'); END")
		}
		if err := execute(ctx, tx, statements...); err != nil {
			return err
		}
	}
	return nil
}

func names(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, rows.Err()
}

func execute(ctx context.Context, tx *sql.Tx, statements ...string) error {
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// hold takes the lock that a writer takes, so that nothing can be written.
func (d *database) hold(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock != nil {
		return nil
	}
	path, err := d.path()
	if err != nil {
		return err
	}
	if d.db, err = open(path); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the lock outlives the call
	conn, err := d.db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	}
	if err != nil {
		return errors.Join(err, d.db.Close())
	}
	d.lock = conn
	return nil
}

// release ends what hold did.
func (d *database) release() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	_, err := d.lock.ExecContext(context.Background(), "ROLLBACK")
	err = errors.Join(err, d.lock.Close(), d.db.Close())
	d.lock, d.db = nil, nil
	return err
}
