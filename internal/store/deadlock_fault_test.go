package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/batch"
	"github.com/neochaotic/leoflow/internal/domain"
)

// TestDeadlockOfManyIsTriedAgain has a session take the rows of two attempts in another
// order than the many that report at once, until there was a deadlock: the database ends
// the reports' transaction, and each is acknowledged, once.
func TestDeadlockOfManyIsTriedAgain(t *testing.T) {
	const rounds, each = 10, 4
	place := alone["postgres"](t)
	a := newAttempts(t, place, rounds*each)
	slices.SortFunc(a.ids, func(x, y auth.AgentIdentity) int { // as those of a write are
		return strings.Compare(keyOf(x.Attempt()), keyOf(y.Attempt()))
	})
	// The reports wait for each row as long as it takes, and look for a deadlock at once;
	// the other never looks.
	if _, err := a.durable.db.ExecContext(t.Context(), "SET lock_timeout = 0; SET deadlock_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	c := crossing{attempts: a, gate: raw(t, place), other: raw(t, place), ctx: patiently(t), over: make(chan struct{}, 1)}
	var deadlocks atomic.Int32
	a.writeDeedsBy(t, func(ctx context.Context, deeds []deed) ([]outcome, error) {
		out, err := a.writeDeeds(ctx, deeds)
		if conflicted(err) {
			deadlocks.Add(1)
			select { // or it might be back before the other has the row, and look for no deadlock any more
			case <-c.over:
			case <-c.ctx.Done():
			}
		}
		return out, err
	})
	for round := 0; deadlocks.Load() == 0; round++ {
		if round == rounds {
			t.Fatal("there was no deadlock")
		}
		first := each * round
		// Which row many reports take first is the database's to say.
		if order := []int{first + 1, first + 2, first + 3}; round%2 == 0 {
			c.cross(t, first, order[0], order[1], order[2])
		} else {
			c.cross(t, first, order[2], order[1], order[0])
		}
	}
}

// writeDeedsBy has other than the store's own writer write deeds.
func (s *Store) writeDeedsBy(t *testing.T, write func(context.Context, []deed) ([]outcome, error)) {
	t.Helper()
	if err := s.deeds.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.deeds = batch.New(batch.Config[deed, outcome]{Write: write, Key: deed.key, Judge: judge, Timeout: time.Minute})
}

// crossing has reports and a session get into each other's way.
type crossing struct {
	attempts
	gate, other *sql.DB
	ctx         context.Context //nolint:containedctx // bounds all of it
	over        chan struct{}   // has a value once the session is done
}

// begin begins a transaction that runs statements, on one of the connections.
func (c crossing) begin(t *testing.T, db *sql.DB) (do func(statement string, args ...any) error) {
	t.Helper()
	tx, err := db.BeginTx(c.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(statement string, args ...any) error {
		if statement == rollback {
			return tx.Rollback()
		}
		_, err = tx.ExecContext(c.ctx, statement, args...)
		return err
	}
}

const rollback = "ROLLBACK"

const lockRow = "SELECT FROM attempts WHERE instance_id = $1 FOR UPDATE"

// cross has three attempts be reported at once, which they are because they come while
// another's report waits. They are let go as far as the second's row. A session that holds
// the third's then wants the first's, and waits for it if they have it.
func (c crossing) cross(t *testing.T, before, first, second, third int) {
	t.Helper()
	select {
	case <-c.over: // nobody was in its way
	default:
	}
	gate, other := c.begin(t, c.gate), c.begin(t, c.other)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	lock := func(do func(string, ...any) error, nth int) error { return do(lockRow, c.ids[nth].TaskInstanceID) }
	must(lock(gate, second))
	must(gate("SAVEPOINT second"))
	must(lock(gate, before))
	must(other("SET LOCAL deadlock_timeout = '1h'"))
	must(lock(other, third))
	waits := c.together(c.ctx, domain.TaskStateSuccess, before)
	c.awaitWaiters(t, 1, nil)
	three := c.together(c.ctx, domain.TaskStateSuccess, first, second, third)
	must(gate("ROLLBACK TO SAVEPOINT second"))
	must(waits()[0])
	c.awaitWaiters(t, 1, nil)
	crossed := make(chan error, 1)
	go func() { crossed <- lock(other, first) }()
	c.awaitWaiters(t, 2, crossed)
	must(gate(rollback))
	must(<-crossed)
	must(other(rollback))
	c.over <- struct{}{}
	if err := errors.Join(three()...); err != nil {
		t.Errorf("the reports: %v", err)
	}
	for _, nth := range []int{before, first, second, third} {
		c.wantChanges(t, nth, domain.TaskStateQueued, domain.TaskStateSuccess)
	}
}

// awaitWaiters returns once so many wait for a lock in this database, or there is an answer.
func (c crossing) awaitWaiters(t *testing.T, n int, answered chan error) {
	t.Helper()
	for c.ctx.Err() == nil {
		if len(answered) > 0 || ask[int](t, c.Store, "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()") >= n {
			return
		}
	}
	t.Fatal("nobody waits")
}
