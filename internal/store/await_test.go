package store

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// nowhere is an address of this machine at which nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// TestAwaitWaitsForADatabaseThatComes has it come once somebody was told to wait.
func TestAwaitWaitsForADatabaseThatComes(t *testing.T) {
	told := make(chan string, 1)
	addr := nowhere(t)
	place := alone["postgres"](t)
	through := url.URL{Scheme: "postgres", User: url.User(configOf(t, place.DSN).User), Host: addr, Path: configOf(t, place.DSN).Database, RawQuery: "sslmode=disable"}
	type opened struct {
		store *Store
		err   error
	}
	done := make(chan opened, 1)
	go func() {
		s, err := Await(context.Background(), Config{DSN: through.String(), Logger: slog.New(slog.NewTextHandler(lines(told), nil))}, time.Minute)
		done <- opened{s, err}
	}()
	if line := <-told; !strings.Contains(line, "cannot be reached") || !strings.Contains(line, addr) {
		t.Errorf("told %q", line)
	}
	wireAt(t, addr, place)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if err := errors.Join(got.store.Ready(t.Context()), got.store.Close()); err != nil {
		t.Error(err)
	}
}

func TestAwaitGivesUp(t *testing.T) {
	dsn := "postgres://u:hunter2@" + nowhere(t) + "/d"
	_, err := Await(t.Context(), Config{DSN: dsn}, time.Second)
	if err == nil || !strings.Contains(err.Error(), "could not be reached for 1s: see that it runs") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("after its wait: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = Await(ctx, Config{DSN: dsn}, time.Hour); err == nil {
		t.Error("it opens where nobody is")
	}
}

// TestAwaitRefusesAtOnceWhatDoesNotPass would wait for an hour otherwise.
func TestAwaitRefusesAtOnceWhatDoesNotPass(t *testing.T) {
	place := alone["postgres"](t)
	u, err := url.Parse(place.DSN)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/no_such_database"
	for dsn, want := range map[string]string{u.String(): "no_such_database", "leoflow.db": "not a URL"} {
		if _, err := Await(t.Context(), Config{DSN: dsn}, time.Hour); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestReadyTellsWhetherItCanBeWritten(t *testing.T) {
	onBroken(t, func(t *testing.T, b broken) {
		if err := b.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if b.postgres {
			b.exec(t, "ALTER DATABASE "+configOf(t, b.place.DSN).Database+" SET default_transaction_read_only = on")
			s := mustOpen(t, Config{}.at(b.place))
			if err := s.Ready(t.Context()); !errors.Is(err, domain.ErrUnavailable) {
				t.Errorf("read-only: %v", err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.Ready(t.Context()); !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("closed: %v", err)
		}
	})
}
