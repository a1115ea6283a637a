package store

import (
	"context"
	"database/sql"
	"sync"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
)

// turns lets one transaction of SQLite after the other: its own way to wait, by asking
// again and again, is slow and unfair. nil: nobody waits.
type turns chan struct{}

// take waits for the turn, and returns what ends it.
func (t turns) take(ctx context.Context) (end func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	select {
	case t <- struct{}{}:
		return sync.OnceFunc(func() { <-t }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// turnDriver is ent's driver of a connection whose transactions take turns.
type turnDriver struct {
	*entsql.Driver
	turns turns
}

// Tx implements dialect.Driver.
func (d turnDriver) Tx(ctx context.Context) (dialect.Tx, error) { return d.BeginTx(ctx, nil) }

// BeginTx is what ent begins a transaction with.
func (d turnDriver) BeginTx(ctx context.Context, opts *sql.TxOptions) (dialect.Tx, error) {
	end, err := d.turns.take(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := d.Driver.BeginTx(ctx, opts)
	if err != nil {
		end()
		return nil, err
	}
	return &turnTx{tx.(*entsql.Tx), end}, nil //nolint:forcetypeassert // what that driver makes
}

// turnTx is a transaction that gives its turn back when it ends.
type turnTx struct {
	*entsql.Tx
	end func()
}

// Commit implements dialect.Tx.
func (t *turnTx) Commit() error {
	defer t.end()
	return t.Tx.Commit()
}

// Rollback implements dialect.Tx.
func (t *turnTx) Rollback() error {
	defer t.end()
	return t.Tx.Rollback()
}
