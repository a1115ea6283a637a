package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/neochaotic/leoflow/internal/store"
)

type migrateCmd struct {
	sealedFlags
	Check bool `env:"LEOFLOW_MIGRATE_CHECK" help:"Change nothing: only tell, with exit code 1 if there is something to do. A server may be running."`
	outputFlags
}

// Help teaches by example.
func (migrateCmd) Help() string {
	return `Bring the database up to this program's version, without serving; leoflow serve does it by itself:

  leoflow migrate --data-dir leoflow-data

Tell only whether there is something to do, before another version of the program is put in place, for example:

  leoflow migrate --check

No server may have the directory meanwhile; one that has a PostgreSQL database, given by --database, may, if it is of this version. There is no way back: take a backup first.`
}

// migration is what migrate has done, or would do.
type migration struct {
	From int64 `json:"from_version"`
	To   int64 `json:"to_version"`
	Done bool  `json:"done"` // false: it is still to do
}

func (m migration) String() string {
	switch {
	case m.From == m.To:
		return fmt.Sprintf("the database is at version %d: there is nothing to do\n", m.To)
	case m.Done:
		return fmt.Sprintf("the database is migrated from version %d to version %d\n", m.From, m.To)
	}
	return fmt.Sprintf("the database is at version %d, this program's is %d: leoflow migrate has something to do\n", m.From, m.To)
}

// Run migrates the database.
func (c *migrateCmd) Run(con *console) error {
	if err := c.check(); err != nil {
		return err
	}
	return untilSignal(func(ctx context.Context) error {
		found, err := c.migrate(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			return badInput{fmt.Errorf("--data-dir %s holds no database: give the data directory of a server that was started once", c.DataDir)}
		}
		if err != nil {
			return err
		}
		m := migration{From: found.Database, To: found.Program, Done: !c.Check || found.Database == found.Program}
		if c.Output == "json" {
			err = c.print(con, m, nil)
		} else {
			err = writeOut(con.out, m.String())
		}
		if err == nil && !m.Done {
			return exitCode(exitFailed)
		}
		return err
	})
}

func (c *migrateCmd) migrate(ctx context.Context) (store.Versions, error) {
	switch {
	case c.Database != "" && c.Check:
		return store.ReadPostgresVersions(ctx, c.Database)
	case c.Database != "":
		return store.MigratePostgres(ctx, c.Database)
	case c.Check:
		return store.ReadVersions(ctx, c.DataDir)
	}
	return store.Migrate(ctx, c.DataDir)
}
