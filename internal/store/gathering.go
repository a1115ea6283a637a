package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/stdlib"
)

// gathering is a connection that statements for many rows go over. They go past
// database/sql, which takes more time for a row than the database does.
type gathering struct {
	db       *sql.DB
	postgres bool
	plain    bool // PostgreSQL, with nothing prepared: what is between may not bear it
	turns    turns

	// What is prepared, and on which connection. Whoever has the turn has them.
	on       any
	prepared map[*many]driver.Stmt // on SQLite
	named    map[*many]string      // on PostgreSQL
}

// call is a statement for rows. Of each row that it has written or found, what the
// statement returns is read into those variables, and got, if any, is called: it was the
// nth, from 0.
type call struct {
	of   *many
	rows [][]any
	into []any
	got  func(n int)
}

// gathered is a transaction of many rows.
type gathered interface {
	// do makes calls, one after the other. Those that have no rows it leaves out.
	do(calls ...call) error
	// last is do, and commits.
	last(calls ...call) error
}

// write runs fn in a transaction. What fn has not committed is rolled back.
func (g *gathering) write(ctx context.Context, fn func(gathered) error) error {
	end, err := g.turns.take(ctx)
	if err != nil {
		return err
	}
	defer end()
	return g.raw(ctx, func(on any) error {
		if g.postgres {
			return g.writePostgres(ctx, on, fn)
		}
		return g.writeSQLite(ctx, on, fn)
	})
}

// writeOne makes a call in a transaction of its own.
func (g *gathering) writeOne(ctx context.Context, c call) error {
	return g.write(ctx, func(t gathered) error { return t.last(c) })
}

// raw runs fn on the connection.
func (g *gathering) raw(ctx context.Context, fn func(on any) error) (err error) {
	conn, err := g.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closed := conn.Close(); !errors.Is(closed, sql.ErrConnDone) { // fn may have found it broken
			err = errors.Join(err, closed)
		}
	}()
	return conn.Raw(func(on any) (err error) {
		if g.on != on { // what was prepared went with the connection that it was on
			g.on, g.prepared, g.named = on, map[*many]driver.Stmt{}, map[*many]string{}
		}
		panicked := true
		defer func() {
			if panicked || !usable(on, err) {
				err = errors.Join(err, g.forget())
			}
		}()
		err = fn(on)
		panicked = false
		return err
	})
}

// usable reports whether database/sql keeps the connection that fn ended so on. One that
// it does not it closes, and on SQLite nothing can be closed that was prepared on that.
func usable(on any, err error) bool {
	v, ok := on.(driver.Validator)
	return !errors.Is(err, driver.ErrBadConn) && (!ok || v.IsValid())
}

// close closes the connection, after what was prepared on it.
func (g *gathering) close() error {
	var err error
	if !g.postgres { // which may be away, and closes all by itself
		err = g.raw(context.Background(), func(any) error { return g.forget() })
	}
	return errors.Join(err, g.db.Close())
}

// forget closes what was prepared.
func (g *gathering) forget() error {
	var errs []error
	for _, statement := range g.prepared {
		errs = append(errs, statement.Close())
	}
	g.on, g.prepared, g.named = nil, nil, nil
	return errors.Join(errs...)
}

// sqliteConn is what a connection of SQLite's driver does.
type sqliteConn interface {
	driver.ConnBeginTx
	driver.ConnPrepareContext
}

// sqliteTx is a transaction on SQLite.
type sqliteTx struct {
	ctx   context.Context //nolint:containedctx // of the write that it is
	g     *gathering
	conn  sqliteConn
	tx    driver.Tx
	ended bool
	args  []driver.NamedValue
}

func (g *gathering) writeSQLite(ctx context.Context, on any, fn func(gathered) error) (err error) {
	conn, ok := on.(sqliteConn)
	if !ok {
		return fmt.Errorf("connection is a %T", on)
	}
	t := &sqliteTx{ctx: ctx, g: g, conn: conn}
	if t.tx, err = conn.BeginTx(ctx, driver.TxOptions{}); err != nil {
		return err
	}
	defer func() {
		if !t.ended {
			err = errors.Join(err, t.tx.Rollback())
		}
	}()
	return fn(t)
}

// last implements gathered.
func (t *sqliteTx) last(calls ...call) error {
	if err := t.do(calls...); err != nil {
		return err
	}
	t.ended = true
	return t.tx.Commit()
}

// do implements gathered: it runs each statement for one row after the other. There are
// no journeys to be saved.
func (t *sqliteTx) do(calls ...call) error {
	for _, c := range calls {
		if len(c.rows) == 0 {
			continue
		}
		statement, err := t.statement(c.of)
		if err != nil {
			return err
		}
		for n := range c.rows {
			if err := t.ctx.Err(); err != nil {
				return err
			}
			if err := t.row(statement, c, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *sqliteTx) statement(m *many) (driver.Stmt, error) {
	statement, ok := t.g.prepared[m]
	if ok {
		return statement, nil
	}
	statement, err := t.conn.PrepareContext(t.ctx, m.text)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", m.text, err)
	}
	t.g.prepared[m] = statement
	return statement, nil
}

// row runs a statement for a row. It is on no context, which would take a goroutine: it
// has the lock, and waits for nothing.
func (t *sqliteTx) row(statement driver.Stmt, c call, n int) (err error) {
	t.args = t.args[:0]
	for _, values := range [][]any{c.rows[n], c.of.args} {
		for _, v := range values {
			t.args = append(t.args, driver.NamedValue{Ordinal: len(t.args) + 1, Value: v})
		}
	}
	if !c.of.returns {
		return t.count(statement, c, n)
	}
	rows, err := statement.(driver.StmtQueryContext).QueryContext(context.Background(), t.args) //nolint:forcetypeassert // it does
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	return each(rows, c, n)
}

// count runs a statement that returns nothing, and tells whether it has written the row.
func (t *sqliteTx) count(statement driver.Stmt, c call, n int) error {
	result, err := statement.(driver.StmtExecContext).ExecContext(context.Background(), t.args) //nolint:forcetypeassert // it does
	if err != nil || c.got == nil {
		return err
	}
	written, err := result.RowsAffected()
	if written > 0 {
		c.got(n)
	}
	return err
}

// postgresConn is the connection that PostgreSQL's driver has.
func postgresConn(on any) (*stdlib.Conn, error) {
	conn, ok := on.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("connection is a %T", on)
	}
	return conn, nil
}
