package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/domain"
)

// maxAttempts bounds how often a conditional write is tried while the row it did
// not match turns out to match.
const maxAttempts = 8

// patience bounds a transaction whose caller sets no deadline: on a connection whose
// other end is gone without a word it would wait for ever.
const patience = 30 * time.Second

// errStillLive says that a conditional write matched no row, though the row that
// was read then would have matched: another writer came between.
var errStillLive = errors.New("row changed between the write and the read")

// errClosed is what a closed store answers: another process may have it soon.
var errClosed = fmt.Errorf("%w: store is closed", domain.ErrUnavailable)

// txn is a write transaction of one tenant.
type txn struct {
	*ent.Tx
	tenant  string
	now     int64 // when it began, as it is stored
	changed map[watchKey]struct{}

	postgres bool // there are other writers
}

// write runs fn in a transaction that is on disk when write returns nil, and that
// never was when it returns an error (but for a failing commit, which is unknown).
// fn may run more than once. Watchers of changed runs are woken after the commit.
func (s *Store) write(ctx context.Context, fn func(context.Context, *txn) error) error {
	tenant, ok := domain.TenantFrom(ctx)
	if !ok {
		return domain.ErrNoTenant
	}
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	for range maxAttempts {
		err = s.writeOnce(ctx, tenant, fn)
		if !errors.Is(err, errStillLive) && !conflicted(err) {
			return explain(err)
		}
	}
	return fmt.Errorf("%w: %w", domain.ErrUnavailable, err)
}

func (s *Store) writeOnce(ctx context.Context, tenant string, fn func(context.Context, *txn) error) error {
	return s.transact(ctx, s.writer, s.writing, func(ctx context.Context, tx *ent.Tx) (err error) {
		w := &txn{Tx: tx, tenant: tenant, changed: map[watchKey]struct{}{}, postgres: s.postgres}
		if w.now, err = s.now(ctx, tx); err != nil {
			return err
		}
		if err := fn(ctx, w); err != nil {
			return err
		}
		err = tx.Commit()
		for key := range w.changed { // also where a commit may have come through though it failed
			s.watches.wake(key)
		}
		return err
	})
}

// transact runs fn in a transaction, within the store's patience. What fn has not
// committed is rolled back.
func (s *Store) transact(ctx context.Context, client *ent.Client, opts *sql.TxOptions, fn func(context.Context, *ent.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	tx, err := s.beginTx(ctx, client, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing; before, the error of fn tells more
	return fn(ctx, tx)
}

// beginTx begins a transaction. A connection that broke while nobody used it is found
// out by that: another one is taken, for agents in use make a call but once. All that
// there are may have been cut at once.
func (s *Store) beginTx(ctx context.Context, client *ent.Client, opts *sql.TxOptions) (tx *ent.Tx, err error) {
	for range s.conns + 1 {
		if tx, err = client.BeginTx(ctx, opts); err == nil || !cutOff(err) {
			break
		}
	}
	return tx, err
}

// read runs fn on one snapshot of the database.
func (s *Store) read(ctx context.Context, fn func(context.Context, *ent.Tx) error) error {
	if _, ok := domain.TenantFrom(ctx); !ok {
		return domain.ErrNoTenant
	}
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	return explain(s.transact(ctx, s.reader, s.reading, fn))
}
