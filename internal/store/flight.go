package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rollbackWithin bounds the wait for a rollback, after which the connection is given up.
const rollbackWithin = time.Second

// postgresTx is a transaction on PostgreSQL. What is done at one time goes there in one
// journey, with the beginning and the end of the transaction.
type postgresTx struct {
	ctx   context.Context //nolint:containedctx // of the write that it is
	g     *gathering
	conn  *pgconn.PgConn
	begun bool
}

func (g *gathering) writePostgres(ctx context.Context, on any, fn func(gathered) error) (err error) {
	conn, err := postgresConn(on)
	if err != nil {
		return err
	}
	g.plain = conn.Conn().Config().DefaultQueryExecMode != pgx.QueryExecModeCacheStatement
	t := &postgresTx{ctx: ctx, g: g, conn: conn.Conn().PgConn()}
	defer func() {
		err = errors.Join(err, t.rollback())
		if stale(err) { // on the next connection all is prepared anew
			err = errors.Join(err, driver.ErrBadConn)
		}
	}()
	return fn(t)
}

// rollback ends the transaction where it is open.
func (t *postgresTx) rollback() error {
	if t.conn.IsClosed() || t.conn.TxStatus() == 'I' {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackWithin)
	defer cancel()
	_, err := t.conn.Exec(ctx, "ROLLBACK").ReadAll()
	return err
}

// do implements gathered.
func (t *postgresTx) do(calls ...call) error { return t.fly(calls, false) }

// last implements gathered.
func (t *postgresTx) last(calls ...call) error { return t.fly(calls, true) }

// fly makes calls in one journey. Those of a transaction that begins and ends with them
// are one without being told.
func (t *postgresTx) fly(calls []call, end bool) error {
	var batch pgconn.Batch
	var sent []*call // nil: no call
	if !end && !t.begun {
		batch.ExecParams("BEGIN", nil, nil, nil, nil)
		sent, t.begun = append(sent, nil), true
	}
	for i, c := range calls {
		if len(c.rows) == 0 {
			continue
		}
		if err := t.add(&batch, c); err != nil {
			return err
		}
		sent = append(sent, &calls[i])
	}
	if end && t.begun {
		batch.ExecParams("COMMIT", nil, nil, nil, nil)
		sent = append(sent, nil)
	}
	if len(sent) == 0 {
		return nil
	}
	results := t.conn.ExecBatch(t.ctx, &batch)
	err := land(results, sent)
	return cmp.Or(results.Close(), err)
}

// add has a call sent.
func (t *postgresTx) add(batch *pgconn.Batch, c call) (err error) {
	values := make([][]byte, len(c.of.columns), len(c.of.columns)+len(c.of.args))
	formats := make([]int16, cap(values))
	for i, column := range c.of.columns {
		if values[i], err = arrayOf(column, c.rows, i); err != nil {
			return err
		}
		formats[i] = pgx.BinaryFormatCode
	}
	for _, arg := range c.of.args {
		values = append(values, fmt.Append(nil, arg))
	}
	binary := []int16{pgx.BinaryFormatCode}
	if t.g.plain {
		batch.ExecParams(c.of.text, values, nil, formats, binary)
		return nil
	}
	name, ok := t.g.named[c.of]
	if !ok {
		name = fmt.Sprintf("many_%d", len(t.g.named))
		if _, err := t.conn.Prepare(t.ctx, name, c.of.text, nil); err != nil {
			return fmt.Errorf("prepare %s: %w", c.of.text, err)
		}
		t.g.named[c.of] = name
	}
	batch.ExecPrepared(name, values, formats, binary)
	return nil
}

// land reads the results of what was sent, in that order. What failed at the database the
// end of the results tells as well.
func land(results *pgconn.MultiResultReader, sent []*call) error {
	for i := 0; results.NextResult(); i++ {
		result := results.ResultReader()
		for result.NextRow() {
			if err := sent[i].found(result.Values()); err != nil {
				return err
			}
		}
		tag, err := result.Close()
		if err != nil {
			return err
		}
		if tag.String() == "ROLLBACK" {
			return errors.New("transaction was rolled back")
		}
	}
	return nil
}

// found reads a row, whose first column says which of the call's rows it is of.
func (c *call) found(values [][]byte) error {
	var nth int64
	if c == nil || len(values) != 1+len(c.into) {
		return fmt.Errorf("%d columns were found", len(values))
	}
	if err := decode(&nth, values[0]); err != nil {
		return err
	}
	for i, into := range c.into {
		if err := decode(into, values[i+1]); err != nil {
			return err
		}
	}
	c.got(int(nth - 1))
	return nil
}
