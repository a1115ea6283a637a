package main

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/neochaotic/leoflow/internal/pgtest"
)

var postgresLine = regexp.MustCompile(`^leoflow serves on (127\.0\.0\.1:\d+), its state in PostgreSQL \((leoflow_\w+) on \S+\), with its data in (\S+); for a token`)

// TestServePostgres serves a database whose URL has a password, which nobody gets to see.
func TestServePostgres(t *testing.T) {
	const password = "hunter2"
	u, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password) // a private server asks for none
	if given, err := url.Parse(pgtest.Database(t)); err == nil {
		if _, has := given.User.Password(); has {
			u.User = given.User
		}
	}
	dsn, data := u.String(), filepath.Join(t.TempDir(), "data")
	secret, _ := u.User.Password()
	var told strings.Builder
	serveOnce := func(want func(addr, token string)) {
		t.Helper()
		serve := start(t, []string{"LEOFLOW_DATABASE=" + dsn}, "serve", "--addr", "127.0.0.1:0", "--data-dir", data, "--log-level", "debug")
		m := postgresLine.FindStringSubmatch(serve.awaitLine("leoflow serves"))
		if m == nil || m[3] != data {
			t.Fatalf("start line %q", serve.seen.String())
		}
		token := leoflow(t, "token", "--data-dir", data)
		token.wantCode(t, exitOK)
		want(m[1], strings.TrimSpace(token.out))
		serve.signal(syscall.SIGTERM)
		got := serve.end()
		got.wantCode(t, exitOK)
		told.WriteString(got.out + got.errOut)
	}
	serveOnce(func(addr, token string) {
		if err := createRun(t, addr, token); err != nil {
			t.Error(err)
		}
	})
	serveOnce(func(addr, token string) {
		got := start(t, []string{"LEOFLOW_TOKEN=" + token}, "runs", "list", "--server", addr).end()
		got.wantCode(t, exitOK)
		got.wantIn(t, "d", "r")
		run := pipelineFile(t, "name: p\ntasks:\n  - {id: a, bash: 'true'}\n  - {id: b, bash: 'true', after: [a]}\n")
		start(t, []string{"LEOFLOW_TOKEN=" + token}, "run", "--server", addr, run).end().wantCode(t, exitOK)
	})

	for _, args := range [][]string{{"serve", "--addr", "127.0.0.1:0"}, {"migrate"}, {"secrets", "rotate"}, {"backup", "--to", filepath.Join(t.TempDir(), "to")}} {
		got := leoflow(t, append(args, "--data-dir", data)...)
		if got.code == exitOK {
			t.Errorf("%v without the database ends well", args)
		}
		got.wantOneLine(t, "it is in PostgreSQL", "--database")
		told.WriteString(got.out + got.errOut)
	}
	for _, args := range [][]string{{"migrate", "--check"}, {"migrate"}, {"secrets", "rotate"}, {"secrets", "retire"}} {
		got := leoflow(t, append(args, "--data-dir", data, "--database", dsn)...)
		got.wantCode(t, exitOK)
		told.WriteString(got.out + got.errOut)
	}
	if strings.Contains(told.String(), secret) {
		t.Errorf("the password is told:\n%s", told.String())
	}
}

func TestServeRefusesADatabaseThatIsNone(t *testing.T) {
	for _, args := range [][]string{
		{"serve", "--database", "leoflow.db"},
		{"serve", "--database", "postgres://u:hunter2@h:port/d"},
		{"migrate", "--database", "mysql://u:hunter2@h/d"},
	} {
		got := leoflow(t, append(args, "--data-dir", t.TempDir())...)
		got.wantCode(t, exitBadInput)
		got.wantOneLine(t, "--database", "postgres://user:password@host:5432/database")
		if strings.Contains(got.errOut, "hunter2") {
			t.Error(got.errOut)
		}
	}
}

// TestCopyMovesAServer serves a directory, copies its database, and serves that.
func TestCopyMovesAServer(t *testing.T) {
	dsn, data := pgtest.Database(t), filepath.Join(t.TempDir(), "data")
	serve, addr, tokenArgs := startServe(t, data)
	token := strings.TrimSpace(leoflow(t, tokenArgs...).out)
	if err := createRun(t, addr, token); err != nil {
		t.Fatal(err)
	}
	busy := leoflow(t, "copy", "--data-dir", data, "--database", dsn)
	busy.wantCode(t, exitFailed)
	busy.wantOneLine(t, "in use by another process")
	serve.signal(syscall.SIGTERM)
	serve.end().wantCode(t, exitOK)
	early := leoflow(t, "serve", "--addr", "127.0.0.1:0", "--data-dir", data, "--database", dsn)
	early.wantCode(t, exitFailed)
	early.wantOneLine(t, "leoflow copy")

	done := leoflow(t, "copy", "--data-dir", data, "--database", dsn)
	done.wantCode(t, exitOK)
	done.wantIn(t, "task_instances", "leoflow.db.copied")
	again := leoflow(t, "copy", "--data-dir", data, "--database", dsn, "-o", "json")
	again.wantCode(t, exitBadInput)

	moved := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--data-dir", data, "--database", dsn)
	m := postgresLine.FindStringSubmatch(moved.awaitLine("leoflow serves"))
	if m == nil {
		t.Fatalf("start line %q", moved.seen.String())
	}
	got := start(t, []string{"LEOFLOW_TOKEN=" + token}, "runs", "list", "--server", m[1]).end() // a token of before
	got.wantCode(t, exitOK)
	got.wantIn(t, "d", "r")
	moved.signal(syscall.SIGTERM)
	moved.end().wantCode(t, exitOK)
}

func TestCopyNeedsBothDatabases(t *testing.T) {
	none := leoflow(t, "copy", "--data-dir", t.TempDir())
	none.wantCode(t, exitBadInput)
	none.wantOneLine(t, "--database is missing")
	empty := leoflow(t, "copy", "--data-dir", t.TempDir(), "--database", "postgres://h/d")
	empty.wantCode(t, exitBadInput)
	empty.wantOneLine(t, "holds no database")
}

// TestServeSharesADirectory serves one database and one directory by two servers: what
// one began the other goes on with.
func TestServeSharesADirectory(t *testing.T) {
	args := []string{"serve", "--addr", "127.0.0.1:0", "--shared", "--data-dir", filepath.Join(t.TempDir(), "data"), "--database", pgtest.Database(t)}
	var servers [2]*command
	for i := range servers {
		servers[i] = start(t, nil, args...)
	}
	var addrs [2]string
	for i, s := range servers {
		m := postgresLine.FindStringSubmatch(s.awaitLine("leoflow serves"))
		if m == nil {
			t.Fatalf("start line %q", s.seen.String())
		}
		addrs[i] = m[1]
	}
	data := args[5]
	token := strings.TrimSpace(leoflow(t, "token", "--data-dir", data).out)
	if err := createRun(t, addrs[0], token); err != nil {
		t.Fatal(err)
	}
	got := start(t, []string{"LEOFLOW_TOKEN=" + token}, "runs", "list", "--server", addrs[1]).end()
	got.wantCode(t, exitOK)
	got.wantIn(t, "d", "r")
	for _, args := range [][]string{{"secrets", "retire"}, {"serve", "--addr", "127.0.0.1:0"}} {
		got := leoflow(t, append(args, "--data-dir", data, "--database", servers[0].cmd.Args[8])...)
		got.wantCode(t, exitFailed)
		got.wantOneLine(t, "in use by another process")
	}
	for _, s := range servers {
		s.signal(syscall.SIGTERM)
		s.end().wantCode(t, exitOK)
	}
	alone := leoflow(t, "serve", "--shared", "--data-dir", t.TempDir())
	alone.wantCode(t, exitBadInput)
	alone.wantOneLine(t, "--shared", "PostgreSQL")
}

// TestServeWaitsForItsDatabase starts a server where there is no database, and none comes.
func TestServeWaitsForItsDatabase(t *testing.T) {
	got := leoflow(t, "serve", "--addr", "127.0.0.1:0", "--data-dir", t.TempDir(),
		"--database", "postgres://u:hunter2@127.0.0.1:1/d", "--database-wait", "1s")
	got.wantCode(t, exitFailed)
	for _, piece := range []string{"waiting for it", "leoflow: the database d on 127.0.0.1:1 could not be reached for 1s: see that it runs", "connection refused\n"} {
		if !strings.Contains(got.errOut, piece) {
			t.Errorf("it lacks %q: %s", piece, got.errOut)
		}
	}
	if strings.Contains(got.errOut, "hunter2") || strings.Count(got.errOut, "\n") != 3 { // the key, the wait, the end
		t.Error(got.errOut)
	}
	bad := leoflow(t, "serve", "--data-dir", t.TempDir(), "--database-wait", "0s")
	bad.wantCode(t, exitBadInput)
	bad.wantOneLine(t, "--database-wait is 0s", "at least 1s")
}

// TestServeWritesDirectly runs a pipeline by a server that writes each thing by itself, on
// either database.
func TestServeWritesDirectly(t *testing.T) {
	run := pipelineFile(t, `name: p
tasks:
  - {id: a, bash: 'printf 42 >"$LEOFLOW_RETURN_VALUE_PATH"'}
  - {id: b, bash: 'test "$LEOFLOW_XCOM_IN" = 42', after: [a], inputs: {in: a}}
  - {id: c, bash: 'exit 3'}
`)
	for name, more := range map[string][]string{"embedded": nil, "PostgreSQL": {"--database", pgtest.Database(t)}} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			args := append([]string{"serve", "--addr", "127.0.0.1:0", "--data-dir", data, "--write-path=direct"}, more...)
			serve := start(t, nil, args...)
			line := serve.awaitLine("leoflow serves")
			addr := strings.TrimRight(strings.Fields(line)[3], ",")
			token := strings.TrimSpace(leoflow(t, "token", "--data-dir", data).out)
			got := start(t, []string{"LEOFLOW_TOKEN=" + token}, "run", "--server", addr, run).end()
			got.wantCode(t, exitFailed)
			got.wantIn(t, "p: 2 success, 1 failed")
			listed := start(t, []string{"LEOFLOW_TOKEN=" + token}, "runs", "list", "--server", addr).end()
			listed.wantCode(t, exitOK)
			listed.wantIn(t, "2 success, 1 failed")
			serve.signal(syscall.SIGTERM)
			serve.end().wantCode(t, exitOK)
		})
	}
}
