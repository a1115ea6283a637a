package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neochaotic/leoflow/internal/domain"
)

// nowhere is a directory where a database may come to listen, and nobody does.
func nowhere(t *testing.T) (dir string, dsn url.URL) {
	t.Helper()
	dir = t.TempDir()
	return dir, url.URL{Scheme: "postgres", User: url.UserPassword("u", "hunter2"), Path: "/d", RawQuery: url.Values{"host": {dir}}.Encode()}
}

// TestAwaitWaitsForADatabaseThatComes has it come once somebody was told to wait.
func TestAwaitWaitsForADatabaseThatComes(t *testing.T) {
	told := make(chan string, 1)
	dir, dsn := nowhere(t)
	place := alone["postgres"](t)
	cfg := configOf(t, place.DSN)
	dsn.User, dsn.Path = url.UserPassword(cfg.User, cfg.Password), "/"+cfg.Database
	type opened struct {
		store *Store
		err   error
	}
	done := make(chan opened, 1)
	go func() {
		s, err := Await(context.Background(), Config{DSN: dsn.String(), Logger: slog.New(slog.NewTextHandler(lines(told), nil))}, time.Minute)
		done <- opened{s, err}
	}()
	select {
	case line := <-told:
		if !strings.Contains(line, "cannot be reached") || !strings.Contains(line, dir) {
			t.Errorf("told %q", line)
		}
	case got := <-done:
		t.Fatalf("it does not wait: %v", got.err)
	}
	wireAt(t, "unix", filepath.Join(dir, ".s.PGSQL.5432"), place)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if err := errors.Join(got.store.Ready(t.Context()), got.store.Close()); err != nil {
		t.Error(err)
	}
}

func TestAwaitGivesUp(t *testing.T) {
	_, dsn := nowhere(t)
	synctest.Test(t, func(t *testing.T) {
		_, err := Await(t.Context(), Config{DSN: dsn.String()}, time.Minute)
		if err == nil || !strings.Contains(err.Error(), "could not be reached for 1m0s: see that it runs") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("after its wait: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err = Await(ctx, Config{DSN: dsn.String()}, time.Hour); err == nil {
			t.Error("it opens where nobody is")
		}
	})
}

// TestAwaitTellsTheLastError has a database come as the wait ends, and refuse.
func TestAwaitTellsTheLastError(t *testing.T) {
	_, dsn := nowhere(t)
	refused := &pgconn.PgError{Code: "28P01", Message: "wrong password"}
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		_, err := await(t.Context(), Config{DSN: dsn.String()}, time.Minute, func(context.Context, Config) (*Store, error) {
			if opened++; opened == 1 {
				return nil, io.EOF
			}
			<-time.After(time.Hour)
			return nil, refused
		})
		if opened != 2 || !errors.Is(err, refused) || strings.Contains(err.Error(), "could not be reached") {
			t.Errorf("opened %d times, and then: %v", opened, err)
		}
	})
}

// TestWhatADatabaseIsAwaitedFor tells one that may yet come from one that will not.
func TestWhatADatabaseIsAwaitedFor(t *testing.T) {
	coded := func(code string) error { return &pgconn.PgError{Code: code} }
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{&net.DNSError{Name: "nowhere", IsNotFound: true}, true},
		{context.DeadlineExceeded, true},
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{net.ErrClosed, true},
		{pgconn.ErrConnClosed, true},
		{coded("08001"), true}, // what is between cannot connect to it
		{coded("08006"), true},
		{coded("08P01"), true}, // nor could, some time ago
		{coded("57P03"), true},
		{coded("53300"), true},
		{coded("25006"), true},
		{coded("28P01"), false},
		{coded("3D000"), false},
		{coded("42601"), false},
		{coded("53100"), false},
		{coded("57014"), false},
		{coded("0"), false},
		{context.Canceled, false},
		{errors.New("newer"), false},
	} {
		if got := absent(fmt.Errorf("wrapped: %w", c.err)); got != c.want {
			t.Errorf("%v: awaited is %v", c.err, got)
		}
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
