package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neochaotic/leoflow/internal/domain"
)

// two are stores on one database, and a raw connection to it. told has a line where they
// could not tell each other something, and wake all therefore.
func two(t *testing.T) (_ broken, _ *Store, told chan string) {
	t.Helper()
	told = make(chan string, 1)
	place := Config{Logger: slog.New(slog.NewTextHandler(lines(told), nil))}.at(alone["postgres"](t))
	return newBroken(t, place), mustOpen(t, place), told
}

func woken(t *testing.T, changed <-chan struct{}, by string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case <-changed:
	case <-ctx.Done():
		t.Fatalf("not woken by %s", by)
	}
}

var watched = domain.RunKey{DagID: "d", RunID: "r"}

// TestWatchIsWokenByAnotherServer changes a run by one store, in both ways that there
// are, and watches it on another.
func TestWatchIsWokenByAnotherServer(t *testing.T) {
	one, other, told := two(t)
	changed := other.RunChanged(as("a"), watched)
	if err := one.ReportState(as("a"), one.id, domain.TaskStateRunning, 0, ""); err != nil {
		t.Fatal(err)
	}
	woken(t, changed, "a report")
	foreign := other.RunChanged(as("b"), watched)
	changed = other.RunChanged(as("a"), watched)
	if _, err := one.SettleTask(as("a"), domain.TaskKey{RunKey: watched, TaskID: "y"}, domain.TaskStateSkipped); err == nil {
		t.Fatal("a task that is not there was settled")
	}
	if err := one.ReportState(as("a"), one.id, domain.TaskStateFailed, 1, ""); err != nil {
		t.Fatal(err)
	}
	woken(t, changed, "an end")
	changed = other.RunChanged(as("a"), watched)
	if _, err := one.RetryTask(as("a"), domain.TaskKey{RunKey: watched, TaskID: "x"}, 1); err != nil {
		t.Fatal(err)
	}
	woken(t, changed, "a retry")
	select {
	case <-foreign:
		if len(told) == 0 {
			t.Error("a run of another tenant was woken")
		}
	default:
	}
}

// TestIso1NotificationsTellNoNames reads what anybody with the database can hear.
func TestIso1NotificationsTellNoNames(t *testing.T) {
	place := alone["postgres"](t)
	conn, err := pgx.Connect(t.Context(), place.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is under way
	if _, err := conn.Exec(t.Context(), "LISTEN "+channel); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, Config{}.at(place))
	for i := range 2 * keysAtOnce {
		run := domain.RunKey{DagID: "secret-dag", RunID: fmt.Sprint("secret-run-", i)}
		s.watches.wake(watchKey{"secret-tenant", run})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for keys := 0; keys < 2*keysAtOnce; {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(n.Payload, "secret") {
			t.Fatal(n.Payload)
		}
		keys += (len(n.Payload) - len(s.wakes.self) - 1) / keyTextLen
	}
}

// TestWatchOutlivesItsConnection cuts the connections that the servers are told over.
func TestWatchOutlivesItsConnection(t *testing.T) {
	one, other, _ := two(t)
	changed := other.RunChanged(as("a"), watched)
	first := listeners(t, one.db, "0")
	one.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
	if err := one.ReportState(as("a"), one.id, domain.TaskStateRunning, 0, ""); err != nil {
		t.Fatal(err)
	}
	woken(t, changed, "what changed while nobody listened")
	listeners(t, one.db, first)
	for _, state := range []domain.TaskState{domain.TaskStateFailed, domain.TaskStateQueued} {
		changed = other.RunChanged(as("a"), watched)
		var err error
		if state == domain.TaskStateFailed {
			err = one.ReportState(as("a"), one.id, state, 1, "")
		} else {
			_, err = one.RetryTask(as("a"), domain.TaskKey{RunKey: watched, TaskID: "x"}, 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		woken(t, changed, string(state))
	}
}

// TestListeningOverASilentConnectionIsGivenUp has the connection fall silent as soon as it is
// made.
func TestListeningOverASilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	wire, through := wireTo(t, alone["postgres"](t))
	w := &wakes{cfg: configOf(t, through.DSN)}
	w.cfg.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		wire.silence()
		w.cfg.ConnectTimeout = time.Millisecond
		return nil
	}
	ended := make(chan error, 1)
	go func() { _, err := w.connect(context.Background()); ended <- err }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ends with %v", err)
		}
	case <-patiently(t).Done():
		t.Fatal("it waits for ever")
	}
}

// TestAnnouncementsWaitAsOthersDo: those of all databases of a server wait for each other.
func TestAnnouncementsWaitAsOthersDo(t *testing.T) {
	s := mustOpen(t, alone["postgres"](t))
	var got string
	if err := s.wakes.db.QueryRowContext(t.Context(), "SHOW lock_timeout").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := ask[string](t, s, "SHOW lock_timeout"); got != want {
		t.Errorf("an announcement waits for %s, and a transaction for %s", got, want)
	}
}

// TestTheFirstFailedAnnouncementIsLogged, and those after it are not, until one has come
// through.
func TestTheFirstFailedAnnouncementIsLogged(t *testing.T) {
	told := make(chan string, 9)
	w := &wakes{logger: slog.New(slog.NewTextHandler(lines(told), nil)), news: make(chan struct{}, 1)}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for wait, step := announceGap, 0; step < 8; step++ {
		ctx, err := t.Context(), errors.New("not sent")
		switch step {
		case 4:
			err = nil
		case 7:
			wait, ctx = announceGap, ended // nobody need be told
		}
		wait = w.after(ctx, wait, err)
		if want := step == 0 || step == 5; (len(told) == 1) != want {
			t.Errorf("at step %d it is told %d times", step, len(told))
		}
		for len(told) > 0 {
			if line := <-told; !strings.Contains(line, "are not told") || !strings.Contains(line, "not sent") {
				t.Errorf("told %q", line)
			}
		}
	}
}

// listeners waits for two connections that listen, none of them among pids, and returns theirs.
func listeners(t *testing.T, db *sql.DB, pids string) (found string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := 0; n < 2; {
		err := db.QueryRowContext(ctx, `SELECT count(*), coalesce(string_agg(pid::text, ','), '') FROM pg_stat_activity
			WHERE query LIKE 'LISTEN%' AND state = 'idle' AND datname = current_database() AND pid::text <> ALL (string_to_array($1, ','))`, pids).Scan(&n, &found)
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func TestNotificationsThatMeanNothingAreNone(t *testing.T) {
	w := &wakes{watches: newWatches(), logger: slog.New(slog.DiscardHandler), self: "me", changed: map[wakeKey]struct{}{}, news: make(chan struct{}, 1)}
	key := watchKey{"a", watched}
	changed := w.watches.of(t.Context(), key.digest())
	w.add(key.digest())
	own := w.take()
	if len(own) != 1 || len(w.take()) != 0 {
		t.Fatalf("%q is announced", own)
	}
	_, keys, _ := strings.Cut(own[0], " ")
	for _, text := range []string{"", " ", "you", "you short", "you " + strings.Repeat("!", keyTextLen) + keys, own[0], "you *x"} {
		w.told(text)
	}
	select {
	case <-changed:
		t.Fatal("woken by nothing")
	default:
	}
	w.told("you " + keys)
	woken(t, changed, "its key")

	changed = w.watches.of(t.Context(), key.digest())
	for i := range keysWaiting + 2 {
		w.add(watchKey{"a", domain.RunKey{RunID: fmt.Sprint(i)}}.digest())
	}
	texts := w.take()
	if len(texts) != 2 || texts[0] != "me *" {
		t.Fatalf("%d texts, the first %.40q", len(texts), texts[0])
	}
	w.told("you *")
	woken(t, changed, "any")
}

func TestDigestsTellRunsApart(t *testing.T) {
	seen := map[wakeKey]watchKey{}
	for _, key := range []watchKey{
		{"a", domain.RunKey{DagID: "b", RunID: "c"}},
		{"ab", domain.RunKey{RunID: "c"}},
		{"a", domain.RunKey{DagID: "bc"}},
		{"", domain.RunKey{DagID: "ab", RunID: "c"}},
		{"b", domain.RunKey{DagID: "b", RunID: "c"}},
	} {
		if other, twice := seen[key.digest()]; twice {
			t.Errorf("%v and %v are one", key, other)
		}
		seen[key.digest()] = key
	}
}
