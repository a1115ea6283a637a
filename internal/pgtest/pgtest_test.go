package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// helper tells a copy of the test binary to start a server, tell where, and wait.
const helper = "LEOFLOW_TEST_PGTEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helper) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	s, err := start()
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	fmt.Println(s.dir)
	if os.Getenv(helper) == "panic" {
		panic("as told")
	}
	select {}
}

func one(t *testing.T, dsn, query string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the query has told
	if err := conn.QueryRow(t.Context(), query).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestDatabasesAreApart(t *testing.T) {
	a, b := Database(t), Database(t)
	conn, err := pgx.Connect(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the query has told
	if _, err := conn.Exec(t.Context(), "CREATE TABLE t (x text)"); err != nil {
		t.Fatal(err)
	}
	if got := one(t, b, "SELECT count(*)::text FROM pg_tables WHERE tablename = 't'"); got != "0" {
		t.Errorf("the other has it %s times", got)
	}
}

func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	var name string
	t.Run("one", func(t *testing.T) { name = nameOf(Database(t)) })
	if got := one(t, Database(t), "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); name == "" || got != "0" {
		t.Errorf("%q is there %s times", name, got)
	}
}

func TestTemplateIsPreparedOnceAndCopied(t *testing.T) {
	prepared := 0
	template := NewTemplate(func(ctx context.Context, dsn string) error {
		prepared++
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		defer conn.Close(ctx) //nolint:errcheck // the statement tells
		_, err = conn.Exec(ctx, "CREATE TABLE t AS SELECT 'told' AS x")
		return err
	}, "UPDATE t SET x = 'emptied'")
	defer func() {
		if err := template.Drop(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		if got := one(t, template.Database(t), "SELECT x FROM t"); got != "told" {
			t.Errorf("copied %q", got)
		}
	}
	var dsn string
	for _, want := range []string{"told", "emptied"} {
		t.Run(want, func(t *testing.T) {
			shared := template.Shared(t)
			if got := one(t, shared, "SELECT x FROM t"); got != want || dsn != "" && dsn != shared {
				t.Errorf("shared %q", got)
			}
			dsn = shared
		})
	}
	if prepared != 1 {
		t.Errorf("prepared %d times", prepared)
	}
}

func TestDataReachTheDisk(t *testing.T) {
	if got := one(t, Database(t), "SELECT current_setting('fsync') || current_setting('synchronous_commit')"); got != "onon" {
		t.Error(got)
	}
}

// TestServerEndsWithItsTests kills the process that has a server, and has it panic.
func TestServerEndsWithItsTests(t *testing.T) {
	for _, end := range []string{"kill", "panic"} {
		t.Run(end, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), helper+"="+end)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var dir string
			if _, err := fmt.Fscanln(out, &dir); err != nil || !strings.Contains(dir, "leoflow-pg-") {
				t.Errorf("told %q, %v", dir, err)
			}
			if end == "kill" {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the process ended well")
			}
			wantGone(t, dir)
		})
	}
}

func wantGone(t *testing.T, dir string) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("%s is left", dir)
		}
	}
}

func TestNoBinariesSaysWhatToInstall(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "postgres"), nil, 0o700); err != nil { // without initdb
		t.Fatal(err)
	}
	_, err := complete([]string{filepath.Join(dir, "missing"), dir})
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") || !strings.Contains(err.Error(), Variable) {
		t.Error(err)
	}
}

func TestServerOfTheEnvironment(t *testing.T) {
	theirs := &server{dsn: "postgres://u:p@h:1/postgres?sslmode=disable"}
	if dsn, err := theirs.at("x"); err != nil || dsn != "postgres://u:p@h:1/x?sslmode=disable" {
		t.Errorf("%q, %v", dsn, err)
	}
	if dsn, err := (&server{dsn: "host=h"}).at("x"); err == nil || !strings.Contains(err.Error(), Variable) {
		t.Errorf("%q, %v", dsn, err)
	}
}
