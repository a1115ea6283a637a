package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// TestBeat5StampsAreOfTheDatabase has a store without a clock of its own.
func TestBeat5StampsAreOfTheDatabase(t *testing.T) {
	b := newBroken(t, alone["postgres"](t))
	var before, after, stamp int64
	now := "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	for _, step := range []func() error{
		func() error { return b.db.QueryRow(now).Scan(&before) },
		func() error { return b.heartbeat(as("a"), b.id) },
		func() error { return b.db.QueryRow(now).Scan(&after) },
		func() error { return b.db.QueryRow("SELECT heartbeat_at FROM attempts").Scan(&stamp) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if stamp < before || stamp > after {
		t.Errorf("stamped %d, between %d and %d", stamp, before, after)
	}
}

// TestState2CommitsWaitForTheDisk has a database whose default is not to wait.
func TestState2CommitsWaitForTheDisk(t *testing.T) {
	place := alone["postgres"](t)
	db := raw(t, place)
	for setting, want := range map[string]string{"off": "on", "remote_apply": "remote_apply"} {
		if _, err := db.Exec(fmt.Sprintf("ALTER DATABASE %s SET synchronous_commit = %s", configOf(t, place.DSN).Database, setting)); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, Config{}.at(place))
		if got := ask[string](t, s, "SELECT current_setting('synchronous_commit')"); got != want {
			t.Errorf("%s becomes %q", setting, got)
		}
	}
}

// ask has a store's own connection answer.
func ask[T any](t *testing.T, s *Store, query string) (answer T) {
	t.Helper()
	tx, err := s.writer.BeginTx(t.Context(), s.writing)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	rows, err := tx.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if err := rows.Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestState8LostConnectionsAreUnavailable cuts every connection of the store.
func TestState8LostConnectionsAreUnavailable(t *testing.T) {
	b := newBroken(t, alone["postgres"](t))
	cut := func() {
		b.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	}
	err := b.write(as("a"), func(ctx context.Context, tx *txn) error {
		cut()
		_, err := tx.Run.Query().Count(ctx)
		return err
	})
	if !errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrNotLive) {
		t.Errorf("in a transaction: %v", err)
	}
	err = b.write(as("a"), func(ctx context.Context, tx *txn) error {
		err := tx.Attempt.Update().AddFence(1).Exec(ctx)
		cut()
		return err
	})
	if !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("at the commit: %v", err)
	}
	if n := b.beats(t); n != 0 {
		t.Error("what failed is there")
	}
	cut()
	if err := b.ReportState(as("a"), b.id, domain.TaskStateSuccess, 0, ""); err != nil { // it waits
		t.Errorf("afterwards: %v", err)
	}
}

// TestState8AllConnectionsMayBeCutAtOnce has every connection that a store may have be
// used, and cut: the next call is answered.
func TestState8AllConnectionsMayBeCutAtOnce(t *testing.T) {
	b := newBroken(t, alone["postgres"](t))
	for range 2 { // the driver asks one that was used but once whether it is there
		useAll(t, b.Store)
	}
	b.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	if _, err := b.Run(as("a"), watched); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// useAll uses every connection that a store may have, all at once.
func useAll(t *testing.T, s *Store) {
	t.Helper()
	var all, use sync.WaitGroup
	all.Add(s.conns)
	for range s.conns {
		use.Go(func() {
			used := sync.OnceFunc(all.Done)
			defer used()
			err := s.read(as("a"), func(context.Context, *ent.Tx) error {
				used()
				all.Wait()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	use.Wait()
}

func TestState8AStandbyIsUnavailable(t *testing.T) {
	place := alone["postgres"](t)
	b := newBroken(t, place)
	b.exec(t, fmt.Sprintf("ALTER DATABASE %s SET default_transaction_read_only = on", configOf(t, place.DSN).Database))
	s, err := Open(t.Context(), Config{}.at(place))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.RecordHeartbeat(as("a"), b.id)
	if !errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrNotLive) {
		t.Errorf("error = %v", err)
	}
}

// TestDeadlocksAreTriedAgain has two transactions take two rows each in the other's order.
func TestDeadlocksAreTriedAgain(t *testing.T) {
	s := twoTenants(t, places["postgres"](t))
	for _, id := range []string{"1", "2"} {
		key := domain.RunKey{DagID: "d", RunID: id}
		if _, _, err := s.CreateRun(as("a"), domain.NewRun{RunKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	var met sync.WaitGroup // once both have their first row
	met.Add(2)
	var wg sync.WaitGroup
	for i, order := range [][]string{{"1", "2"}, {"2", "1"}} {
		wg.Go(func() {
			times := 0
			err := s.write(as("a"), func(ctx context.Context, tx *txn) error {
				for n, id := range order {
					row, err := findRun(ctx, tx.Tx, domain.RunKey{DagID: "d", RunID: id})
					if err != nil {
						return err
					}
					if err := tx.Run.UpdateOne(row).AddRevision(1).Exec(ctx); err != nil {
						return err
					}
					if times == 0 && n == 0 {
						times++
						met.Done()
						met.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("transaction %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, id := range []string{"1", "2"} {
		if r, err := s.Run(as("a"), domain.RunKey{DagID: "d", RunID: id}); err != nil || r.Revision != 2 {
			t.Errorf("run %s: %+v, %v", id, r, err)
		}
	}
}

func TestPostgresErrors(t *testing.T) {
	for code, want := range map[string]bool{
		"08006": true, "40001": true, "40P01": true, "53100": true, "53300": true, "57P01": true, "57P03": true,
		"25006": true, "55P03": true, "25P03": true, "58030": true,
		"23505": false, "42P01": false, "22021": false, "25P02": false, "42501": false,
	} {
		err := explain(fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}))
		if errors.Is(err, domain.ErrUnavailable) != want {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestBeat5AReaperLeavesWhatOthersHave has somebody hold the attempt's row.
func TestBeat5AReaperLeavesWhatOthersHave(t *testing.T) {
	b := newBroken(t, alone["postgres"](t))
	var seen []domain.Attempt
	if _, err := b.LiveAttempts(t.Context(), 0, func(a domain.Attempt, _ bool) { seen = append(seen, a) }); err != nil || len(seen) != 1 {
		t.Fatal(seen, err)
	}
	tx, err := b.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT FROM attempts FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	settled, err := b.ReapAttempt(as("a"), seen[0], domain.CauseLaunchFailed, "")
	if err != nil || settled {
		t.Errorf("while another has it: %v, %v", settled, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	settled, err = b.ReapAttempt(as("a"), seen[0], domain.CauseLaunchFailed, "")
	if err != nil || !settled {
		t.Errorf("afterwards: %v, %v", settled, err)
	}
}

// TestBeat5ALateCommitIsSeen commits an attempt after one with a greater key, of which a
// look has told already.
func TestBeat5ALateCommitIsSeen(t *testing.T) {
	b := newBroken(t, alone["postgres"](t))
	key := domain.TaskKey{RunKey: domain.RunKey{DagID: "d", RunID: "r2"}, TaskID: "x"}
	if _, _, err := b.CreateRun(as("a"), domain.NewRun{RunKey: key.RunKey, Tasks: []domain.TaskDefinition{{TaskID: "x"}}}); err != nil {
		t.Fatal(err)
	}
	var next int64
	look := func() (n int) {
		t.Helper()
		var err error
		if next, err = b.LiveAttempts(t.Context(), next, func(domain.Attempt, bool) { n++ }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	tx, err := b.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(`INSERT INTO attempts (instance_id, try, tenant, run_pk, dag_id, run_id, task_id, timeout_seconds, state, queued_at, task_pk)
		SELECT 'late', 7, tenant, run_pk, dag_id, run_id, task_id, timeout_seconds, state, queued_at, task_pk FROM attempts`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.LaunchAttempt(as("a"), key, domain.NewAttempt{Try: 1}); err != nil {
		t.Fatal(err)
	}
	if err := b.ReportState(as("a"), b.id, domain.TaskStateFailed, 1, ""); err != nil {
		t.Fatal(err)
	}
	if n := look(); n != 1 {
		t.Fatalf("%d are live", n)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := look(); n != 2 {
		t.Errorf("%d are live", n)
	}
}

// TestSecret6WhatIsSealedMeanwhileIsSealedAnew has a secret stored by a transaction that
// sealed it before the key was replaced, and that commits while a pass is under way.
func TestSecret6WhatIsSealedMeanwhileIsSealedAnew(t *testing.T) {
	sealer := &slowSealer{begun: make(chan struct{}), goOn: make(chan struct{})}
	for i := range sealer.keys {
		k, err := secrets.Ephemeral()
		if err != nil {
			t.Fatal(err)
		}
		sealer.keys[i] = k
	}
	s := mustOpen(t, Config{Sealer: sealer}.at(places["postgres"](t)))
	t.Cleanup(sealer.release)
	put := make(chan error, 1)
	go func() { put <- s.PutVariable(as("new tenant"), "somebody", "v", "value") }()
	<-sealer.begun
	sealer.rotate()
	type result struct {
		done Resealed
		left int
		err  error
	}
	resealed := make(chan result, 1)
	go func() {
		done, err := s.ResealSecrets(context.Background())
		left, counted := s.CountSecretsNotUnder(context.Background(), sealer.Primary())
		resealed <- result{done, left, errors.Join(err, counted)}
	}()
	waitForLock(t, s)
	sealer.release()
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	if r := <-resealed; r.err != nil || r.done.Done != 1 || r.left != 0 {
		t.Errorf("sealed anew: %+v", r)
	}
}

// waitForLock returns once somebody waits for a lock.
func waitForLock(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ask[int](t, s, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0 {
		if ctx.Err() != nil {
			t.Fatal("nobody waits")
		}
	}
}

// slowSealer seals under the first key, waits, and has a second.
type slowSealer struct {
	keys        [2]*secrets.Keyset
	mu          sync.Mutex
	rotated     bool
	begun, goOn chan struct{}
	once        sync.Once
}

func (s *slowSealer) rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotated = true
}

// release lets the first go on.
func (s *slowSealer) release() { s.once.Do(func() { close(s.goOn) }) }

func (s *slowSealer) current() *secrets.Keyset {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rotated {
		return s.keys[1]
	}
	return s.keys[0]
}

func (s *slowSealer) Primary() secrets.KeyID { return s.current().Primary() }

func (s *slowSealer) Seal(n secrets.Name, value []byte) ([]byte, error) {
	sealed, err := s.current().Seal(n, value)
	if s.current() == s.keys[0] {
		close(s.begun)
		<-s.goOn
	}
	return sealed, err
}

func (s *slowSealer) Unseal(n secrets.Name, sealed []byte) ([]byte, error) {
	value, err := s.keys[0].Unseal(n, sealed)
	if err != nil {
		return s.keys[1].Unseal(n, sealed)
	}
	return value, nil
}
