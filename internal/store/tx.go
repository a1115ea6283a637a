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
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	tx, err := beginTx(ctx, s.writer, s.writing)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing; before, the error of fn tells more
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
}

// beginTx begins a transaction. A connection that broke while nobody used it is found
// out by that: another one is taken, for agents in use make a call but once.
func beginTx(ctx context.Context, client *ent.Client, opts *sql.TxOptions) (tx *ent.Tx, err error) {
	for range maxAttempts {
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
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	tx, err := beginTx(ctx, s.reader, s.reading)
	if err != nil {
		return explain(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	return explain(fn(ctx, tx))
}
