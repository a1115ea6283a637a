package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"
	"github.com/jackc/pgx/v5"

	"github.com/neochaotic/leoflow/ent/migrate"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

// ErrNotEmpty says that a database which is to be filled holds something.
var ErrNotEmpty = errors.New("database is not empty")

// copiedSuffix is put behind the name of an embedded database that was moved.
const copiedSuffix = ".copied"

// Moved says what [MoveToPostgres] did.
type Moved struct {
	Rows map[string]int64 // by table
	Kept string           // path of the file that was read, as it is called now
}

// MoveToPostgres copies all of the embedded database in the data directory dir, which no
// server may have, into the PostgreSQL database of a DSN, in one transaction, and holds
// that each table then has as many rows. The directory's database is the latter from
// then on; the file stays under another name. Where the target has rows, nothing is
// changed and it is [ErrNotEmpty]; no embedded database is fs.ErrNotExist.
func MoveToPostgres(ctx context.Context, dir, dsn string) (done Moved, err error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return done, err
	}
	path, err := existing(dir)
	if err != nil {
		return done, err
	}
	lock, err := lockDir(filepath.Dir(path), false)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if err := migrateFile(ctx, path, migrations.SQLite()); err != nil {
		return done, err
	}
	if err := migratePostgres(ctx, cfg, migrations.Postgres()); err != nil {
		return done, err
	}
	if done.Rows, err = copyFile(ctx, path, cfg); err != nil {
		return done, err
	}
	done.Kept = path + copiedSuffix
	if err := markPlace(filepath.Dir(path), placeOf(cfg)); err != nil {
		return done, err
	}
	return done, os.Rename(path, done.Kept)
}

// copyFile copies all tables, those first that others point to.
func copyFile(ctx context.Context, path string, cfg *pgx.ConnConfig) (rows map[string]int64, err error) {
	// It may write: what the file's log holds is then in the file when it closes.
	from, err := sql.Open(driverName, dataSource(path, "deferred"))
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	from.SetMaxOpenConns(1)
	to, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", placeOf(cfg), err)
	}
	defer func() { err = errors.Join(err, to.Close(context.WithoutCancel(ctx))) }()
	tx, err := to.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit it does nothing; before, the error tells more
	if err := durable(ctx, to); err != nil {
		return nil, err
	}
	rows = map[string]int64{}
	for _, table := range parentsFirst(migrate.Tables) {
		if rows[table.Name], err = copyTable(ctx, from, tx, table); err != nil {
			return nil, fmt.Errorf("copy %s: %w", table.Name, err)
		}
	}
	return rows, tx.Commit(ctx)
}

// parentsFirst orders tables so that each comes after those that it points to.
func parentsFirst(tables []*schema.Table) (ordered []*schema.Table) {
	var add func(*schema.Table)
	add = func(table *schema.Table) {
		if slices.Contains(ordered, table) {
			return
		}
		for _, key := range table.ForeignKeys {
			add(key.RefTable)
		}
		ordered = append(ordered, table)
	}
	for _, table := range tables {
		add(table)
	}
	return ordered
}

// copyTable copies the rows of a table with their keys, and has later keys follow them.
func copyTable(ctx context.Context, from *sql.DB, to pgx.Tx, table *schema.Table) (int64, error) {
	name := pgx.Identifier{table.Name}.Sanitize()
	if _, err := to.Exec(ctx, "LOCK TABLE "+name); err != nil {
		return 0, err
	}
	var there int64
	if err := to.QueryRow(ctx, "SELECT count(*) FROM "+name).Scan(&there); err != nil {
		return 0, err
	}
	if there > 0 {
		return 0, fmt.Errorf("%w: %d rows are there: give an empty one", ErrNotEmpty, there)
	}
	columns := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		columns[i] = c.Name
	}
	source := &tableRows{columns: table.Columns}
	var err error
	source.rows, err = from.QueryContext(ctx, fmt.Sprintf("SELECT `%s` FROM `%s` ORDER BY id", strings.Join(columns, "`, `"), table.Name))
	if err != nil {
		return 0, err
	}
	defer source.rows.Close()
	copied, err := to.CopyFrom(ctx, pgx.Identifier{table.Name}, columns, source)
	if err != nil {
		return 0, err
	}
	_, err = to.Exec(ctx, "SELECT setval(pg_get_serial_sequence($1, 'id'), greatest(max(id), 1), max(id) IS NOT NULL) FROM "+name, table.Name)
	if err != nil {
		return 0, err
	}
	if err := to.QueryRow(ctx, "SELECT count(*) FROM "+name).Scan(&there); err != nil {
		return 0, err
	}
	if there != copied || there != source.read {
		return 0, fmt.Errorf("%d rows were read, and %d are there", source.read, there)
	}
	return there, nil
}

// tableRows are the rows of a table of SQLite, for PostgreSQL to copy.
type tableRows struct {
	rows    *sql.Rows
	columns []*schema.Column
	read    int64
}

func (r *tableRows) Next() bool { return r.rows.Next() }
func (r *tableRows) Err() error { return r.rows.Err() }

// Values implements pgx.CopyFromSource.
func (r *tableRows) Values() ([]any, error) {
	r.read++
	values, into := make([]any, len(r.columns)), make([]any, len(r.columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := r.rows.Scan(into...); err != nil {
		return nil, err
	}
	for i, c := range r.columns {
		values[i] = postgresValue(c.Type, values[i])
	}
	return values, nil
}

// postgresValue returns a value of SQLite, which knows fewer types, as PostgreSQL has it.
func postgresValue(t field.Type, v any) any {
	switch v := v.(type) {
	case int64:
		if t == field.TypeBool {
			return v != 0
		}
	case string:
		switch t {
		case field.TypeString:
			return readable(v)
		case field.TypeBytes:
			return []byte(v)
		}
	case []byte:
		switch t {
		case field.TypeString:
			return readable(string(v))
		case field.TypeJSON:
			return string(v)
		}
	}
	return v
}
