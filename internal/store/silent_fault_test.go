package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// TestState8ASilentConnectionIsGivenUp has every connection fall silent, and tell nobody
// of it: what waits on one is given up in time, and done on another.
func TestState8ASilentConnectionIsGivenUp(t *testing.T) {
	for _, way := range ways {
		t.Run(string(way), func(t *testing.T) {
			t.Parallel()
			w, through := wireTo(t, alone["postgres"](t))
			a := newAttempts(t, Config{WritePath: way}.at(through), 3)
			a.patience = time.Second
			for _, do := range []func() error{
				func() error { return a.report(patiently(t), 0, domain.TaskStateRunning) },
				func() error { return a.RecordHeartbeat(patiently(t), a.ids[0]) },
			} {
				if err := do(); err != nil {
					t.Fatal(err)
				}
			}
			w.silence()
			beat := make(chan error, 1)
			go func() { beat <- a.RecordHeartbeat(patiently(t), a.ids[1]) }()
			// A caller without a deadline: so do agents in use make theirs.
			read := make(chan error, 1)
			go func() { _, err := a.Run(as("a"), a.run); read <- err }()
			registered := make(chan error, 1)
			go func() { registered <- a.RegisterAgent(as("a"), a.ids[2], domain.AgentInfo{Version: "v"}) }()
			for what, answer := range map[string]<-chan error{"heartbeat": beat, "read": read, "registration": registered} {
				select {
				case err := <-answer: // the pool may have had a connection left that it looked at first
					if err != nil && (!errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrNotLive)) {
						t.Errorf("%s: %v", what, err)
					}
				case <-patiently(t).Done():
					t.Fatalf("the %s waits for ever", what)
				}
			}
			if err := a.report(patiently(t), 0, domain.TaskStateSuccess); err != nil { // it outlasts what is silent
				t.Errorf("report: %v", err)
			}
			if err := a.RecordHeartbeat(patiently(t), a.ids[1]); err != nil {
				t.Errorf("heartbeat afterwards: %v", err)
			}
			a.wantChanges(t, 0, domain.TaskStateQueued, domain.TaskStateRunning, domain.TaskStateSuccess)
		})
	}
}

// TestUpkeepOverASilentConnectionEnds has the connection of what the server does by itself
// fall silent: nobody waits there for ever, though no call of it has a deadline.
func TestUpkeepOverASilentConnectionEnds(t *testing.T) {
	t.Parallel()
	w, through := wireTo(t, alone["postgres"](t))
	b := newBroken(t, through)
	keys, err := secrets.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	key := keys.Primary()
	for what, do := range map[string]func(context.Context) error{
		"sealing anew": func(ctx context.Context) error { _, err := b.ResealSecrets(ctx); return err },
		"count":        func(ctx context.Context) error { _, err := b.CountSecretsNotUnder(ctx, key); return err },
		"sweep":        func(ctx context.Context) error { _, err := b.DeleteExpiredXCom(ctx, time.Now(), 1); return err },
		"look": func(ctx context.Context) error {
			_, err := b.LiveAttempts(ctx, 0, func(domain.Attempt, bool) {})
			return err
		},
	} {
		b.patience = patience
		if err := do(patiently(t)); err != nil { // over a connection that is well
			t.Fatalf("%s: %v", what, err)
		}
		w.silence()
		b.patience = 100 * time.Millisecond
		ended := make(chan error, 1)
		go func() { ended <- do(context.Background()) }()
		select {
		case err := <-ended:
			if !errors.Is(err, domain.ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		case <-patiently(t).Done():
			t.Fatalf("the %s waits for ever", what)
		}
	}
}

// TestDeadlockOfManyIsTriedAgain has a session take the rows of two attempts in another
// order than the many that report at once, until the database has seen a deadlock: it
// ends the reports' transaction, and each is acknowledged, once.
func TestDeadlockOfManyIsTriedAgain(t *testing.T) {
	const rounds = 40
	place := alone["postgres"](t)
	// The reports look for a deadlock before they give up their wait; the other never looks.
	a := newAttempts(t, Config{DSN: place.DSN + separator(place.DSN) + "deadlock_timeout=90"}, 3*rounds)
	c := crossing{attempts: a, gate: raw(t, place), other: raw(t, place), ctx: patiently(t)}
	for round := 0; ask[int](t, a.Store, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0; round++ {
		if round == rounds {
			t.Fatal("there was no deadlock")
		}
		// Which row many reports take first is the database's to say.
		order := [2]int{3*round + 1, 3*round + 2}
		if round%2 == 1 {
			order[0], order[1] = order[1], order[0]
		}
		c.cross(t, 3*round, order[0], order[1])
	}
}

// separator is what comes before one more parameter of a DSN.
func separator(dsn string) string {
	if strings.Contains(dsn, "?") {
		return "&"
	}
	return "?"
}

// crossing has reports and a session get into each other's way.
type crossing struct {
	attempts
	gate, other *sql.DB
	ctx         context.Context //nolint:containedctx // bounds all of it
}

// begin begins a transaction that runs statements, on one of the connections.
func (c crossing) begin(t *testing.T, db *sql.DB) (do func(statement string, args ...any)) {
	t.Helper()
	tx, err := db.BeginTx(c.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(statement string, args ...any) {
		t.Helper()
		if statement == rollback {
			err = tx.Rollback()
		} else {
			_, err = tx.ExecContext(c.ctx, statement, args...)
		}
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

const rollback = "ROLLBACK"

const lockRow = "SELECT FROM attempts WHERE instance_id = $1 FOR UPDATE"

// cross has two attempts be reported at once while a session holds the second's row, and
// then wants the first's. They go at once because they come while another's report waits.
func (c crossing) cross(t *testing.T, before, first, second int) {
	t.Helper()
	gate, other := c.begin(t, c.gate), c.begin(t, c.other)
	gate(lockRow, c.ids[before].TaskInstanceID)
	other("SET LOCAL deadlock_timeout = '1h'")
	other(lockRow, c.ids[second].TaskInstanceID)
	waits := c.together(c.ctx, domain.TaskStateSuccess, before)
	c.awaitWaiter(t)
	both := c.together(c.ctx, domain.TaskStateSuccess, first, second)
	gate(rollback)
	if err := waits()[0]; err != nil {
		t.Errorf("the report before: %v", err)
	}
	c.awaitWaiter(t)
	other(lockRow, c.ids[first].TaskInstanceID)
	other(rollback)
	if err := errors.Join(both()...); err != nil {
		t.Errorf("the reports: %v", err)
	}
	for _, nth := range []int{before, first, second} {
		c.wantChanges(t, nth, domain.TaskStateQueued, domain.TaskStateSuccess)
	}
}

// awaitWaiter returns once somebody waits for a lock in this database.
func (c crossing) awaitWaiter(t *testing.T) {
	t.Helper()
	for c.ctx.Err() == nil {
		if ask[int](t, c.Store, "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()") > 0 {
			return
		}
	}
	t.Fatal("nobody waits")
}
