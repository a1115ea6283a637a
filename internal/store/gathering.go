package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// gathering is a connection that statements for many rows go over.
type gathering struct {
	db       *sql.DB
	postgres bool
	turns    turns
	borrowed bool                // db is somebody else's to close
	prepared map[*many]*sql.Stmt // on SQLite
}

// prepare readies statements.
func (g *gathering) prepare(ctx context.Context, statements ...*many) (err error) {
	if g.postgres {
		return nil // its driver does, when first they are sent
	}
	g.prepared = map[*many]*sql.Stmt{}
	for _, m := range statements {
		if g.prepared[m], err = g.db.PrepareContext(ctx, m.text); err != nil { //nolint:sqlclosecheck // close does
			return fmt.Errorf("prepare %s: %w", m.text, err)
		}
	}
	return nil
}

// close closes the connection, after what was prepared on it.
func (g *gathering) close() error {
	var errs []error
	for _, statement := range g.prepared {
		errs = append(errs, statement.Close())
	}
	if !g.borrowed {
		errs = append(errs, g.db.Close())
	}
	return errors.Join(errs...)
}

// gathered is a transaction of many rows.
type gathered struct {
	*gathering
	tx *sql.Tx // nil: each statement is one
}

// write runs fn in a transaction.
func (g *gathering) write(ctx context.Context, fn func(context.Context, gathered) error) error {
	end, err := g.turns.take(ctx)
	if err != nil {
		return err
	}
	defer end()
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing; before, the error of fn tells more
	if err := fn(ctx, gathered{g, tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// writeOne runs a statement in a transaction of its own.
func (g *gathering) writeOne(ctx context.Context, m *many, rows [][]any, into []any, got func(n int)) error {
	if g.postgres {
		return gathered{g, nil}.do(ctx, m, rows, into, got)
	}
	return g.write(ctx, func(ctx context.Context, t gathered) error { return t.do(ctx, m, rows, into, got) })
}

// do runs a statement for rows. Of each row that it has written, it reads what the
// statement returns into those variables and calls got: it was the nth, from 0.
func (t gathered) do(ctx context.Context, m *many, rows [][]any, into []any, got func(n int)) error {
	if len(rows) == 0 {
		return nil
	}
	if t.postgres {
		return t.atOnce(ctx, m, rows, into, got)
	}
	statement := t.tx.StmtContext(ctx, t.prepared[m]) //nolint:sqlclosecheck // the transaction's end closes it
	for n, row := range rows {
		args := append(row[:len(row):len(row)], m.args...)
		if !m.returns {
			if _, err := statement.ExecContext(ctx, args...); err != nil {
				return err
			}
			continue
		}
		result, err := statement.QueryContext(ctx, args...)
		if err != nil {
			return err
		}
		if err := each(result, into, func() { got(n) }); err != nil {
			return err
		}
	}
	return nil
}

// atOnce is do on PostgreSQL.
func (t gathered) atOnce(ctx context.Context, m *many, rows [][]any, into []any, got func(n int)) error {
	var on interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	} = t.db
	if t.tx != nil {
		on = t.tx
	}
	args := append(arrays(m.columns, rows), m.args...)
	if !m.returns {
		_, err := on.ExecContext(ctx, m.text, args...)
		return err
	}
	result, err := on.QueryContext(ctx, m.text, args...)
	if err != nil {
		return err
	}
	var nth int
	return each(result, append([]any{&nth}, into...), func() { got(nth - 1) })
}

// readOne reads what a statement finds for one row.
func (g *gathering) readOne(ctx context.Context, m *many, row []any, into []any, got func()) error {
	args := append(row, m.args...)
	var result *sql.Rows
	var err error
	if g.postgres {
		result, err = g.db.QueryContext(ctx, m.text, args...)
	} else {
		result, err = g.prepared[m].QueryContext(ctx, args...)
	}
	if err != nil {
		return err
	}
	return each(result, into, got)
}

// each reads each row of a result, and closes it.
func each(result *sql.Rows, into []any, got func()) (err error) {
	defer func() { err = errors.Join(err, result.Close()) }()
	for result.Next() {
		if err := result.Scan(into...); err != nil {
			return err
		}
		got()
	}
	return result.Err()
}

// arrays has the columns of rows as PostgreSQL takes them.
func arrays(columns []column, rows [][]any) []any {
	out := make([]any, len(columns))
	for i, c := range columns {
		switch c.array {
		case textArray:
			out[i] = array[string](rows, i)
		case bytesArray:
			out[i] = array[[]byte](rows, i)
		default:
			out[i] = array[int64](rows, i)
		}
	}
	return out
}

// array is a column; nil where a row has none.
func array[T any](rows [][]any, i int) []*T {
	out := make([]*T, len(rows))
	values := make([]T, len(rows))
	for n, row := range rows {
		if v, ok := row[i].(T); ok {
			values[n] = v
			out[n] = &values[n]
		}
	}
	return out
}
