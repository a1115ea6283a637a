package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Own is a server of a test's own, which the test may do to what happens to servers. It
// listens on a port of 127.0.0.1, which it keeps when it is started again, and has an
// empty database leoflow. It ends with the test, or with the process however that ends.
type Own struct {
	t      testing.TB
	server *server
	files  installation
	addr   string
	cmd    *exec.Cmd // nil: it is stopped
}

// ownSettings are those of an own server beside the usual ones: what it is told twice
// counts as it was told last.
const ownSettings = `
listen_addresses = '127.0.0.1'
port = %d
max_connections = 100
`

// NewOwn starts one.
func NewOwn(t testing.TB) *Own {
	t.Helper()
	o, err := newOwn(t)
	if err != nil {
		t.Fatalf("a server of the test's own: %v", err)
	}
	t.Cleanup(func() {
		o.Stop()
		if err := os.RemoveAll(o.server.dir); err != nil {
			t.Error(err)
		}
	})
	o.Start()
	if err := o.server.exec(t.Context(), "CREATE DATABASE leoflow"); err != nil {
		t.Fatal(err)
	}
	return o
}

func newOwn(t testing.TB) (*Own, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	o := &Own{t: t, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	o.files, err = install(func(dir string) string { return fmt.Sprintf(settings+ownSettings, dir, port) })
	o.server = &server{dir: o.files.dir, dsn: o.Through(o.addr, "postgres")}
	return o, err
}

// freePort returns a port that nobody has, and that the system gives to nobody who asks
// for any: it must be free still when the server comes back.
func freePort() (int, error) {
	const low, high, tries = 20000, 32000, 100
	for range tries {
		port := low + rand.IntN(high-low) //nolint:gosec // no secret
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no port between %d and %d is free", low, high)
}

// Addr is where it listens.
func (o *Own) Addr() string { return o.addr }

// DSN is that of its database.
func (o *Own) DSN() string { return o.Through(o.addr, "leoflow") }

// Through is the DSN of a database by way of another address, such as a proxy's.
func (o *Own) Through(addr, database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.User("leoflow"), Host: addr, Path: "/" + database, RawQuery: "sslmode=disable",
	}).String()
}

// Stop ends it at once, as a crash does: nobody is told, and nothing is tidied up.
func (o *Own) Stop() {
	o.t.Helper()
	if o.cmd == nil {
		return
	}
	_, err := io.WriteString(o.server.own, "keep")
	if err := errors.Join(err, o.server.own.Close()); err != nil {
		o.t.Fatal(err)
	}
	_ = o.cmd.Wait() // the shell ends as the last of what it did
	o.cmd = nil
}

// Start starts it again, and returns when it lets people in.
func (o *Own) Start() {
	o.t.Helper()
	if o.cmd != nil {
		return
	}
	var err error
	if o.cmd, o.server.own, err = o.files.run(); err != nil {
		o.t.Fatal(err)
	}
	if err := o.server.await(); err != nil {
		o.t.Fatal(err)
	}
}

// ReadOnly makes it refuse to write, as a server does that another has taken over from,
// or lets it write again. Transactions that have begun go on as they are.
func (o *Own) ReadOnly(on bool) {
	o.t.Helper()
	setting := map[bool]string{true: "on", false: "off"}[on]
	for _, statement := range []string{
		"ALTER SYSTEM SET default_transaction_read_only = " + setting, "SELECT pg_reload_conf()",
	} {
		if err := o.server.exec(o.t.Context(), statement); err != nil {
			o.t.Fatalf("%s: %v", statement, err)
		}
	}
	ctx, cancel := context.WithTimeout(o.t.Context(), startWithin)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		err := o.server.exec(ctx, "DO $$ BEGIN IF current_setting('default_transaction_read_only') <> '"+setting+"' THEN RAISE 'not yet'; END IF; END $$")
		if err == nil {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			o.t.Fatalf("it never is read-only %s: %v", setting, err)
		}
	}
}

// Exec runs a statement in its database.
func (o *Own) Exec(statement string) {
	o.t.Helper()
	if err := (&server{dsn: o.DSN()}).exec(o.t.Context(), statement); err != nil {
		o.t.Fatalf("%s: %v", statement, err)
	}
}
