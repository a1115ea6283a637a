package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// broken is a store with a live attempt, a secret, and a connection to break it with.
type broken struct {
	*Store
	place Config
	db    *sql.DB
	id    auth.AgentIdentity
}

// onBroken runs a test on a broken store of every dialect.
func onBroken(t *testing.T, test func(t *testing.T, b broken)) {
	onEachAlone(t, func(t *testing.T, place Config) { test(t, newBroken(t, place)) })
}

func newBroken(t *testing.T, place Config) broken {
	t.Helper()
	keyset, err := secrets.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, Config{Sealer: keyset, Logger: place.Logger}.at(place))
	key := domain.TaskKey{RunKey: domain.RunKey{DagID: "d", RunID: "r"}, TaskID: "x"}
	if _, _, err := s.CreateRun(as("a"), domain.NewRun{RunKey: key.RunKey, Tasks: []domain.TaskDefinition{{TaskID: "x"}}}); err != nil {
		t.Fatal(err)
	}
	a, err := s.LaunchAttempt(as("a"), key, domain.NewAttempt{Try: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.PutVariable(as("a"), "somebody", "v", "value"), s.PutConnection(as("a"), "somebody", "c", "uri")); err != nil {
		t.Fatal(err)
	}
	return broken{s, place, raw(t, place), auth.IdentityOf(a.Ref)}
}

func (b broken) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := b.db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// lock keeps the store from writing until unlock is called.
func (b broken) lock(t *testing.T) (unlock func()) {
	t.Helper()
	tx, err := b.db.Begin() // on SQLite it takes the write lock
	if err == nil && b.postgres {
		_, err = tx.Exec("LOCK TABLE attempts")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

func (b broken) beats(t *testing.T) (n int) {
	t.Helper()
	if err := b.db.QueryRow("SELECT count(*) FROM attempts WHERE heartbeat_at IS NOT NULL OR fence > 0").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSecret5NoRecordNoDelivery(t *testing.T) { onBroken(t, testSecret5NoRecordNoDelivery) }

func testSecret5NoRecordNoDelivery(t *testing.T, b broken) {
	b.exec(t, "DROP TABLE audit_events")
	for _, deliver := range []func(context.Context, auth.AgentIdentity) (map[string]string, error){b.DeliverVariables, b.DeliverConnectionURIs} {
		got, err := deliver(as("a"), b.id)
		if !errors.Is(err, domain.ErrUnavailable) || got != nil {
			t.Fatalf("delivered %v, %v", got, err)
		}
	}
	if n := b.beats(t); n != 0 {
		t.Fatal("the refused delivery left a trace")
	}
}

func TestSecret6MovedCiphertextDoesNotUnseal(t *testing.T) {
	for _, move := range []string{
		"UPDATE variables SET name = 'moved'",
		"UPDATE variables SET tenant = 'b'",
		"UPDATE variables SET sealed = (SELECT sealed FROM connections)",
		"UPDATE variables SET sealed = substr(sealed, 1, 1)",
	} {
		onBroken(t, func(t *testing.T, b broken) {
			b.exec(t, move)
			tenant := "a"
			if err := b.db.QueryRow("SELECT tenant FROM variables").Scan(&tenant); err != nil {
				t.Fatal(err)
			}
			if _, err := b.SecretVariables(as(tenant), tenant); !errors.Is(err, secrets.ErrUnsealable) || errors.Is(err, domain.ErrUnavailable) {
				t.Errorf("%s: %v", move, err)
			}
		})
	}
}

func TestSecret6NoPlaintextAtRest(t *testing.T) {
	onBroken(t, func(t *testing.T, b broken) {
		for _, table := range []string{"variables", "connections"} {
			var sealed []byte
			if err := b.db.QueryRow("SELECT sealed FROM " + table).Scan(&sealed); err != nil {
				t.Fatal(err)
			}
			if len(sealed) == 0 || bytes.Contains(sealed, []byte("value")) || bytes.Contains(sealed, []byte("uri")) {
				t.Errorf("%s has %q", table, sealed)
			}
		}
	})
}

// TestBeat2FailureIsNeverAnAnswer breaks the database under each call of an agent:
// none may then say that its attempt is not live.
func TestBeat2FailureIsNeverAnAnswer(t *testing.T) { onBroken(t, testBeat2FailureIsNeverAnAnswer) }

func testBeat2FailureIsNeverAnAnswer(t *testing.T, b broken) {
	b.exec(t, "ALTER TABLE attempts RENAME TO gone")
	b.forget() // else the launch has told the specification
	for name, err := range map[string]error{
		"heartbeat": b.RecordHeartbeat(as("a"), b.id),
		"report":    b.ReportState(as("a"), b.id, domain.TaskStateSuccess, 0, ""),
		"register":  b.RegisterAgent(as("a"), b.id, domain.AgentInfo{}),
		"spec":      func() error { _, err := b.TaskSpec(as("a"), b.id); return err }(),
		"may log":   func() error { _, err := b.MayLog(as("a"), b.id); return err }(),
		"deliver":   func() error { _, err := b.DeliverVariables(as("a"), b.id); return err }(),
	} {
		if err == nil || errors.Is(err, domain.ErrNotLive) || errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestState8BusyDatabaseIsUnavailable(t *testing.T) {
	onBroken(t, testState8BusyDatabaseIsUnavailable)
}

func testState8BusyDatabaseIsUnavailable(t *testing.T, b broken) {
	unlock := b.lock(t)
	ctx, cancel := context.WithTimeout(as("a"), busyTimeout/50)
	defer cancel()
	err := b.RecordHeartbeat(ctx, b.id)
	if !errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrNotLive) {
		t.Fatalf("error = %v", err)
	}
	unlock()
	if err := b.heartbeat(as("a"), b.id); err != nil {
		t.Fatalf("afterwards: %v", err)
	}
}

// TestState8ATerminalReportWaitsForTheDatabase locks the database until the report
// has failed once, and says so.
func TestState8ATerminalReportWaitsForTheDatabase(t *testing.T) {
	onBroken(t, testState8ATerminalReportWaitsForTheDatabase)
}

func testState8ATerminalReportWaitsForTheDatabase(t *testing.T, b broken) {
	waits := make(chan string, 1)
	b.logger = slog.New(slog.NewTextHandler(lines(waits), nil))
	unlock := b.lock(t)
	ctx, cancel := context.WithTimeout(as("a"), time.Minute)
	defer cancel()
	stored := make(chan error, 1)
	go func() { stored <- b.ReportState(ctx, b.id, domain.TaskStateSuccess, 0, "") }()
	select {
	case line := <-waits:
		if !strings.Contains(line, "terminal report waits") {
			t.Errorf("logged %q", line)
		}
	case err := <-stored:
		t.Fatalf("the report did not wait: %v", err)
	}
	unlock()
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	key := domain.TaskKey{RunKey: domain.RunKey{DagID: "d", RunID: "r"}, TaskID: "x"}
	if a, err := b.Attempt(as("a"), key, 1); err != nil || a.State != domain.TaskStateSuccess {
		t.Errorf("stored as %v, %v", a.State, err)
	}
}

// TestState8AReportGivesUpWithItsCall: RUNNING does not wait, and nothing waits for
// longer than its call, or for a store that was closed.
func TestState8AReportGivesUpWithItsCall(t *testing.T) {
	onBroken(t, testState8AReportGivesUpWithItsCall)
}

func testState8AReportGivesUpWithItsCall(t *testing.T, b broken) {
	ctx, cancel := context.WithCancel(as("a"))
	cancel()
	if err := b.ReportState(ctx, b.id, domain.TaskStateFailed, 1, ""); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("the call had ended: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, state := range []domain.TaskState{domain.TaskStateRunning, domain.TaskStateFailed} {
		if err := b.ReportState(as("a"), b.id, state, 1, ""); !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("%s to a closed store: %v", state, err)
		}
	}
}

// lines sends what is written to it.
type lines chan<- string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}

// TestState8RolledBackUnderItsCallIsUnavailable lets a caller go away between the
// last statement and the commit.
func TestState8RolledBackUnderItsCallIsUnavailable(t *testing.T) {
	onBroken(t, testState8RolledBackUnderItsCallIsUnavailable)
}

func testState8RolledBackUnderItsCallIsUnavailable(t *testing.T, b broken) {
	ctx, cancel := context.WithCancel(as("a"))
	defer cancel()
	err := b.write(ctx, func(_ context.Context, tx *txn) error {
		cancel()
		for {
			if _, err := tx.Run.Query().Count(as("a")); errors.Is(err, sql.ErrTxDone) {
				return nil
			}
		}
	})
	if !errors.Is(err, domain.ErrUnavailable) {
		t.Fatalf("error = %v", err)
	}
}

func TestState8FullDiskIsUnavailable(t *testing.T) {
	db, err := sql.Open(driverName, dataSource(filepath.Join(t.TempDir(), "full"), "immediate", "max_page_count(2)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is kept
	for err == nil {
		_, err = db.Exec("CREATE TABLE IF NOT EXISTS t AS SELECT zeroblob(100000) AS b")
	}
	if got := explain(err); !errors.Is(got, domain.ErrUnavailable) {
		t.Fatalf("error = %v", got)
	}
}

// TestState2HistoryAndStateTogether breaks the history: no state may move without it.
func TestState2HistoryAndStateTogether(t *testing.T) { onBroken(t, testState2HistoryAndStateTogether) }

func testState2HistoryAndStateTogether(t *testing.T, b broken) {
	b.exec(t, "ALTER TABLE task_changes RENAME TO gone")
	if err := b.ReportState(as("a"), b.id, domain.TaskStateSuccess, 0, ""); err == nil {
		t.Fatal("reported without a history")
	}
	b.exec(t, "ALTER TABLE gone RENAME TO task_changes")
	key := domain.TaskKey{RunKey: domain.RunKey{DagID: "d", RunID: "r"}, TaskID: "x"}
	if a, err := b.Attempt(as("a"), key, 1); err != nil || a.State != domain.TaskStateQueued {
		t.Fatalf("attempt %+v, %v", a, err)
	}
}

// TestState6AgentTimesAreKept reads the columns: nothing returns them yet.
func TestState6AgentTimesAreKept(t *testing.T) { onBroken(t, testState6AgentTimesAreKept) }

func testState6AgentTimesAreKept(t *testing.T, b broken) {
	first, second := instant(1_000_001), instant(2_000_002)
	for _, err := range []error{
		b.ReportStateAt(as("a"), b.id, domain.TaskStateRunning, 0, "", first),
		b.ReportStateAt(as("a"), b.id, domain.TaskStateRunning, 0, "", second),
		b.ReportStateAt(as("a"), b.id, domain.TaskStateSuccess, 0, "", second),
		b.ReportStateAt(as("a"), b.id, domain.TaskStateSuccess, 0, "", first),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var running, ended int64
	err := b.db.QueryRow("SELECT running_occurred_at, ended_occurred_at FROM attempts").Scan(&running, &ended)
	if err != nil || running != first.UnixMicro() || ended != second.UnixMicro() {
		t.Fatalf("running %d, ended %d, %v", running, ended, err)
	}
}

func TestRunChangedLeaksNothing(t *testing.T) { onBroken(t, testRunChangedLeaksNothing) }

func testRunChangedLeaksNothing(t *testing.T, b broken) {
	for i := range 50 {
		ctx, cancel := context.WithCancel(as("a"))
		changed := b.RunChanged(ctx, domain.RunKey{DagID: "d", RunID: fmt.Sprint(i % 5)})
		b.RunChanged(ctx, domain.RunKey{DagID: "d", RunID: fmt.Sprint(i % 5)})
		cancel()
		select {
		case <-changed:
			t.Fatal("woken by nothing")
		default:
		}
	}
	b.RunChanged(as("a"), domain.RunKey{DagID: "d", RunID: "r"})
	if err := b.ReportState(as("a"), b.id, domain.TaskStateRunning, 0, ""); err != nil {
		t.Fatal(err)
	}
	held := func() int {
		b.watches.mu.Lock()
		defer b.watches.mu.Unlock()
		return len(b.watches.runs)
	}
	// Contexts release what they hold in goroutines of their own.
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for held() > 0 && deadline.Err() == nil {
		runtime.Gosched()
	}
	if n := held(); n != 0 {
		t.Fatalf("%d runs are held", n)
	}
}
