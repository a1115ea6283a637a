// Command gen writes the migration that takes the database from what the
// migration files make of it to what ent/schema says:
//
//	go run ./internal/store/migrate/gen NAME
//
// run at the root of the module, after `go generate ./ent`. It writes no file when
// there is nothing to change. Read what it wrote: a column that must be filled, or
// renamed, needs a hand, and atlas.sum a second run then.
//
// Files have no Down part: it would drop tables. They run in a transaction, with
// foreign keys off (internal/store says why), so that rebuilding a table deletes
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
	_ "modernc.org/sqlite" // the dev database

	"github.com/neochaotic/leoflow/ent/migrate"
)

const dir = "internal/store/migrations/sqlite"

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

// run replays the files on a database in memory and writes what is missing.
func run(ctx context.Context, name string) (err error) {
	db, err := sql.Open("sqlite", "file:dev?mode=memory&cache=shared&_pragma=foreign_keys(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
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
	return migrate.NewSchema(entsql.OpenDB(dialect.SQLite, db)).NamedDiff(ctx, name,
		schema.WithDir(target),
		schema.WithFormatter(upOnly{}),
		schema.WithMigrationMode(schema.ModeReplay),
		schema.WithDropColumn(true),
		schema.WithDropIndex(true),
	)
}

// upOnly formats for goose, without the Down part.
type upOnly struct{}

// Format implements atlas.Formatter.
func (upOnly) Format(plan *atlas.Plan) ([]atlas.File, error) {
	files, err := sqltool.GooseFormatter.Format(plan)
	if err != nil {
		return nil, err
	}
	for i, f := range files {
		up, _, _ := bytes.Cut(f.Bytes(), []byte("-- +goose Down"))
		files[i] = atlas.NewLocalFile(f.Name(), append(bytes.TrimSpace(up), '\n'))
		fmt.Println(f.Name())
	}
	return files, nil
}
