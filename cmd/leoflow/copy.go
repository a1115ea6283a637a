package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/terminal"
)

type copyCmd struct {
	sealedFlags
	outputFlags
}

// Help teaches by example.
func (copyCmd) Help() string {
	return `Move the embedded database of a data directory into an empty PostgreSQL database, with the server stopped, and serve it from there:

  leoflow copy --data-dir leoflow-data --database postgres://leoflow@db.example.com/leoflow
  leoflow serve --data-dir leoflow-data --database postgres://leoflow@db.example.com/leoflow

All is copied in one transaction, and each table's rows are counted on both sides before it is committed. Keys and logs stay in the directory; the file that was copied stays too, under another name. Agents that are at work go on when the server is back within a minute.`
}

// copied is what copy has done.
type copied struct {
	Rows map[string]int64 `json:"rows"`
	Kept string           `json:"kept"`
}

// Run copies a database.
func (c *copyCmd) Run(con *console) error {
	if c.Database == "" {
		return badInput{errors.New("--database is missing: name the PostgreSQL database to copy to, as in postgres://user@host:5432/leoflow")}
	}
	if err := c.check(); err != nil {
		return err
	}
	return untilSignal(func(ctx context.Context) error {
		moved, err := store.MoveToPostgres(ctx, c.DataDir, c.Database)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return badInput{fmt.Errorf("--data-dir %s holds no database: give the data directory of a server that was started once", c.DataDir)}
		case errors.Is(err, store.ErrNotEmpty), errors.Is(err, store.ErrElsewhere):
			return badInput{err}
		case err != nil:
			return err
		}
		if c.Output == "json" {
			return c.print(con, copied{moved.Rows, moved.Kept}, nil)
		}
		table := terminal.Table{{"TABLE", "ROWS"}}
		for _, name := range slices.Sorted(maps.Keys(moved.Rows)) {
			table = append(table, []string{name, fmt.Sprint(moved.Rows[name])})
		}
		if err := c.print(con, moved, func() terminal.Table { return table }); err != nil {
			return err
		}
		return writeOut(con.out, fmt.Sprintf("all of it is in %s; the file is kept as %s\n", store.Place(c.Database), terminal.Visible(moved.Kept)))
	})
}
