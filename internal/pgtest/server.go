package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable names the environment variable with the DSN of a server to use in place of a
// private one. Its user must be allowed to create databases.
const Variable = "LEOFLOW_TEST_POSTGRES"

// startWithin bounds how long a private server may take to start.
const startWithin = time.Minute

// server is where the databases of this process are.
type server struct {
	dsn string // of the database to connect to for others to be made
	dir string // of a private server, which is removed when it ends
	own *os.File
}

// theServer is the one of this process.
var theServer = sync.OnceValues(func() (*server, error) {
	if dsn := os.Getenv(Variable); dsn != "" {
		return &server{dsn: dsn}, nil
	}
	return start()
})

// supervise is run by sh, with the binaries' directory and the server's own as its
// arguments. It ends the server when nobody holds the other end of its standard input
// any more, and leaves nothing behind unless it was told to. What the terminal sends to
// everybody it ignores.
const supervise = `
trap : INT TERM HUP
"$1/postgres" -D "$2/data" >"$2/log" 2>&1 </dev/null &
server=$!
word=$(cat)
kill -QUIT "$server"
wait "$server"
[ "$word" = keep ] || rm -rf "$2"
`

// settings of a private server. Data reach the disk as they do by default.
const settings = `
listen_addresses = ''
unix_socket_directories = '%s'
max_connections = 200
shared_buffers = 32MB
log_min_messages = fatal
`

// start starts a private server.
func start() (*server, error) {
	i, err := install(func(dir string) string { return fmt.Sprintf(settings, dir) })
	if err != nil {
		return nil, err
	}
	s := &server{dir: i.dir, dsn: dsnAt(i.dir, "postgres")}
	if _, s.own, err = i.run(); err != nil { // never closed by hand: it is, when the process ends
		return nil, errors.Join(err, os.RemoveAll(i.dir))
	}
	return s, s.await()
}

// installation is the files of a server that is to run, and what runs it.
type installation struct {
	bin, dir string
	as       *syscall.Credential // nil: this user
}

// install makes the files of a server with the settings of its directory.
func install(settings func(dir string) string) (i installation, err error) {
	if i.bin, err = binaries(); err != nil {
		return i, err
	}
	if i.as, err = runAs(); err != nil {
		return i, err
	}
	if i.dir, err = makeDir(i.as); err != nil {
		return i, err
	}
	if err := i.initialize(settings(i.dir)); err != nil {
		return i, errors.Join(err, os.RemoveAll(i.dir))
	}
	return i, nil
}

// run runs the server until nobody holds the file any more.
func (i installation) run() (*exec.Cmd, *os.File, error) {
	reads, writes, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd := i.command("sh", "-c", supervise, "sh", i.bin, i.dir)
	cmd.Stdin = reads
	if err := errors.Join(cmd.Start(), reads.Close()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), writes.Close())
	}
	return cmd, writes, nil
}

// initialize makes the files of the server. Its databases sort as people do, not by
// bytes: what must not depend on that is found out.
func (i installation) initialize(settings string) error {
	common := []string{"-D", filepath.Join(i.dir, "data"), "-U", "leoflow", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"}
	out, err := i.command(filepath.Join(i.bin, "initdb"), append(common, "--locale-provider=icu", "--icu-locale=en-US")...).CombinedOutput()
	if err != nil { // before version 15, or built without ICU
		out, err = i.command(filepath.Join(i.bin, "initdb"), common...).CombinedOutput()
	}
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	f, err := os.OpenFile(filepath.Join(i.dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(settings)
	return errors.Join(err, f.Close())
}

// command is a command of the server's user, with nothing of the caller's environment
// that PostgreSQL reads.
func (i installation) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) //nolint:gosec // binaries that were looked for on this machine
	cmd.Dir = i.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + i.dir, "TMPDIR=" + i.dir, "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: i.as, Setpgid: true} // out of the way of Ctrl-C
	return cmd
}

// await waits until the server lets somebody in.
func (s *server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("the private PostgreSQL does not start within %v: %w\n%s", startWithin, err, log)
		}
	}
}

// dsnAt is the DSN of a database of the private server in dir.
func dsnAt(dir, database string) string {
	return (&url.URL{Scheme: "postgres", User: url.User("leoflow"), Path: "/" + database, RawQuery: url.Values{"host": {dir}}.Encode()}).String()
}
