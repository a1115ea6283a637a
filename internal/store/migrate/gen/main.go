// Command gen writes the migration that takes the database from what the
// migration files make of it to what ent/schema says, for each dialect:
//
//	go run ./internal/store/migrate/gen NAME
//
// run at the root of the module, after `go generate ./ent`. It writes no file when
// there is nothing to change. Read what it wrote: a column that must be filled, or
// renamed, needs a hand, and atlas.sum a second run then.
//
// What the files make is found out in a database in memory and in one of a PostgreSQL
// that internal/pgtest starts.
//
// Files have no Down part: it would drop tables. They run in a transaction, on SQLite
// with foreign keys off (internal/store says why), so that rebuilding a table deletes
// no rows that point to it.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	atlas "ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/sqltool"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	_ "github.com/jackc/pgx/v5/stdlib" // a dev database
	_ "modernc.org/sqlite"             // the other

	"github.com/neochaotic/leoflow/ent/migrate"
	"github.com/neochaotic/leoflow/internal/pgtest"
)

const root = "internal/store/migrations/"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/store/migrate/gen NAME")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string) error {
	err := write(ctx, name, dialect.SQLite, "sqlite", "file:dev?mode=memory&cache=shared&_pragma=foreign_keys(1)")
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	dsn, drop, err := pgtest.Create(ctx, "")
	if err != nil {
		return err
	}
	if err := errors.Join(write(ctx, name, dialect.Postgres, "pgx", dsn), drop()); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}

// write replays the files of a dialect on an empty database and writes what is missing.
func write(ctx context.Context, name, of, driver, dsn string) (err error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	dir := root + folders[of]
	target, err := sqltool.NewGooseDir(dir)
	if err != nil {
		return err
	}
	sum, err := target.Checksum() // also of what was changed by hand
	if err != nil {
		return err
	}
	if err := atlas.WriteSumFile(target, sum); err != nil {
		return err
	}
	return migrate.NewSchema(entsql.OpenDB(of, db)).NamedDiff(ctx, name,
		schema.WithDir(target),
		schema.WithFormatter(upOnly{dir}),
		schema.WithMigrationMode(schema.ModeReplay),
		schema.WithDropColumn(true),
		schema.WithDropIndex(true),
	)
}

// folders of the dialects.
var folders = map[string]string{dialect.SQLite: "sqlite", dialect.Postgres: "postgres"}

// upOnly formats for goose, without the Down part, and tells what it writes to dir.
type upOnly struct{ dir string }

// Format implements atlas.Formatter.
func (u upOnly) Format(plan *atlas.Plan) ([]atlas.File, error) {
	files, err := sqltool.GooseFormatter.Format(plan)
	if err != nil {
		return nil, err
	}
	for i, f := range files {
		up, _, _ := bytes.Cut(f.Bytes(), []byte("-- +goose Down"))
		files[i] = atlas.NewLocalFile(f.Name(), append(bytes.TrimSpace(up), '\n'))
		fmt.Println(u.dir + "/" + f.Name())
	}
	return files, nil
}
