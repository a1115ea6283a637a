package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/neochaotic/leoflow/internal/bench"
	"github.com/neochaotic/leoflow/internal/pgtest"
	"github.com/neochaotic/leoflow/internal/store"
)

// setup says which server is measured.
type setup struct {
	bare         bool            // one with empty handlers, which stores nothing
	on, postgres string          // what it stores in, and where databases may be made
	writePath    store.WritePath // empty: in batches
	conns        int
	dataDir      string   // empty: for temporary files
	args         []string // more of them
	// A profile is written into a directory, if any, under that name.
	profileDir, name string
}

// subject is a server that is measured, in another process, with its database and
// connections to it.
type subject struct {
	server, database *child // no database: in the server, or none
	hello            greeting
	conns            []*grpc.ClientConn
	scratch          string
}

// start starts the server, and its database before it.
func (u setup) start(ctx context.Context, con *console) (_ *subject, err error) {
	s := &subject{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	args := []string{"bare"}
	if !u.bare {
		if args, err = s.store(ctx, con, u); err != nil {
			return nil, err
		}
	}
	if u.profileDir != "" {
		args = append(args, "--profile", filepath.Join(u.profileDir, u.name+".pprof"))
	}
	if s.server, s.hello, err = startChild(ctx, con, "", append(args, u.args...)...); err != nil {
		return nil, err
	}
	s.conns, err = dial(s.hello.Addr, insecure.NewCredentials(), u.conns)
	return s, err
}

// store makes what a server of ours stores in, and returns the arguments that name it.
func (s *subject) store(ctx context.Context, con *console, u setup) (args []string, err error) {
	if s.scratch, err = os.MkdirTemp(u.dataDir, "leoflow-bench-"); err != nil {
		return nil, err
	}
	args = []string{"ours", "--data-dir", filepath.Join(s.scratch, "data"), "--write-path", string(cmp.Or(u.writePath, store.Batched))}
	if u.on != "postgres" {
		return args, nil
	}
	var hello greeting
	if s.database, hello, err = startChild(ctx, con, u.postgres, "postgres"); err != nil {
		return nil, err
	}
	return append(args, "--database", hello.Database), nil
}

// spent is what the server and its database have spent so far.
func (s *subject) spent() (server, database bench.Spent, err error) {
	server, err1 := s.server.spent()
	database, err2 := s.database.spent()
	return server, database, errors.Join(err1, err2)
}

// cost is what a server and its database spent of the processor, and what the server held
// after it.
type cost struct {
	server, database time.Duration
	rss              int64
}

// costOf is what doing something cost.
func (s *subject) costOf(do func() error) (cost, error) {
	server, database, err := s.spent()
	if err != nil {
		return cost{}, err
	}
	if err := do(); err != nil {
		return cost{}, err
	}
	serverAfter, databaseAfter, err := s.spent()
	return cost{serverAfter.CPU - server.CPU, databaseAfter.CPU - database.CPU, serverAfter.RSS}, err
}

// end ends the server, and then its database.
func (s *subject) end() error {
	hangUp(s.conns)
	var errs []error
	for _, c := range []*child{s.server, s.database} {
		if c != nil {
			errs = append(errs, c.end())
		}
	}
	if s.scratch != "" {
		errs = append(errs, os.RemoveAll(s.scratch))
	}
	return errors.Join(errs...)
}

// child is another process of this program.
type child struct {
	*exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
}

// startChild starts one, and returns what it greets with. postgres, if any, is where it
// may make databases.
func startChild(ctx context.Context, con *console, postgres string, args ...string) (*child, greeting, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, greeting{}, err
	}
	c := &child{Cmd: exec.CommandContext(ctx, self, append([]string{"child"}, args...)...)} //nolint:gosec // this program
	c.Stderr = con.err
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	if postgres != "" {
		c.Env = append(os.Environ(), pgtest.Variable+"="+postgres)
	}
	if c.input, err = c.StdinPipe(); err != nil {
		return nil, greeting{}, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, greeting{}, err
	}
	if err := c.Start(); err != nil {
		return nil, greeting{}, err
	}
	c.output = bufio.NewReader(out)
	var hello greeting
	text, err := c.output.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(text, &hello)
	}
	if err != nil {
		return nil, greeting{}, errors.Join(fmt.Errorf("no greeting: %w", err), c.end())
	}
	return c, hello, nil
}

// collect has the child collect its garbage, and give back what it does not use.
func (c *child) collect() error {
	if _, err := fmt.Fprintln(c.input); err != nil {
		return err
	}
	_, err := c.output.ReadString('\n')
	return err
}

func (c *child) end() error {
	_ = c.input.Close() // which is the sign to end
	return c.Wait()
}

// spent is what a child has spent; nothing of none.
func (c *child) spent() (bench.Spent, error) {
	if c == nil {
		return bench.Spent{}, nil
	}
	return bench.SpentBy(c.Process.Pid)
}
