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
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/neochaotic/leoflow/internal/bench"
	"github.com/neochaotic/leoflow/internal/pgtest"
	"github.com/neochaotic/leoflow/internal/store"
)

// reportAttempts are those of one round of reports.
const reportAttempts = 2000

type compareCmd struct {
	Target   []string `placeholder:"NAME" help:"Servers to compare with bare gRPC: sqlite-direct, sqlite, postgres-direct, postgres; by default all."`
	Postgres string   `placeholder:"DSN" help:"Make the databases on this server of PostgreSQL; by default on private ones, from the installed binaries."`
	Live     int      `default:"1000" placeholder:"N" help:"Live attempts on each server, by default ${default}."`
	Rounds   int      `default:"3" placeholder:"N" help:"How often each server is measured, in turn; the median counts. By default ${default}."`
	Profile  string   `type:"existingdir" placeholder:"DIR" help:"Write a profile of the processor of each server into this directory."`
	Reports  int      `kong:"-"` // attempts of a round of reports, which uses them up
	shape
}

// targets are what may be compared with bare gRPC, the way without batches before that
// with them.
var targets = []string{"sqlite-direct", "sqlite", "postgres-direct", "postgres"}

func checkTargets(names []string) error {
	for _, name := range names {
		if !slices.Contains(targets, name) {
			return badUsage{fmt.Errorf("--target %q: there is no such server; give one of %v", name, targets)}
		}
	}
	return nil
}

// Help says what is compared.
func (compareCmd) Help() string {
	return `Start a gRPC server with empty handlers, and servers of ours, each in a process of its own on this
machine; put the same load on one after the other, in rounds, and print how they compare.`
}

// rival is a server that is compared.
type rival struct {
	name     string
	server   *child
	database *child // nil: in the server, or elsewhere
	conns    []*grpc.ClientConn
	operator string
	attempts []bench.Attempt
	rounds   map[bench.Op][]row
}

// Run compares.
func (c *compareCmd) Run(con *console) (err error) {
	ops, err := c.ops()
	if err != nil {
		return err
	}
	if c.Rounds < 1 || c.Live < c.Workers {
		return badUsage{errors.New("--rounds is 0 or less, or --live is less than --workers: give more")}
	}
	if len(c.Target) == 0 {
		c.Target = targets
	}
	if err := checkTargets(c.Target); err != nil {
		return err
	}
	ctx, stop := untilAsked()
	defer stop()
	scratch, err := os.MkdirTemp("", "leoflow-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	var rivals []*rival
	defer func() {
		for _, r := range rivals {
			err = errors.Join(err, r.end())
		}
	}()
	for _, name := range append([]string{"bare"}, c.Target...) {
		r, err := c.start(ctx, con, name, scratch)
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		rivals = append(rivals, r)
	}
	for _, op := range ops {
		for round := range c.Rounds {
			for _, r := range rivals {
				if err := c.measure(ctx, r, op, round); err != nil {
					return fmt.Errorf("%s: %w", r.name, err)
				}
			}
		}
	}
	return c.show(con, table(ops, rivals))
}

// start starts a server, with its database, and populates it.
func (c *compareCmd) start(ctx context.Context, con *console, name, scratch string) (r *rival, err error) {
	r = &rival{name: name, rounds: map[bench.Op][]row{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.end())
		}
	}()
	args := []string{"bare"}
	if name != "bare" {
		args = []string{"ours", "--data-dir", filepath.Join(scratch, name), "--write-path", string(store.Batched)}
		if strings.HasSuffix(name, "-direct") {
			args[len(args)-1] = string(store.Direct)
		}
	}
	if strings.HasPrefix(name, "postgres") {
		var hello greeting
		if r.database, hello, err = startChild(ctx, con, c.Postgres, "postgres"); err != nil {
			return r, err
		}
		args = append(args, "--database", hello.Database)
	}
	if c.Profile != "" {
		args = append(args, "--profile", filepath.Join(c.Profile, name+".pprof"))
	}
	var hello greeting
	if r.server, hello, err = startChild(ctx, con, "", args...); err != nil {
		return r, err
	}
	r.operator = hello.Operator
	if r.conns, err = dial(hello.Addr, insecure.NewCredentials(), c.Conns); err != nil {
		return r, err
	}
	r.attempts, err = r.populate(ctx, "live", c.Live)
	return r, err
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

// populate has fresh attempts; a bare server takes any.
func (r *rival) populate(ctx context.Context, run string, n int) ([]bench.Attempt, error) {
	if r.operator == "" {
		return attemptsOf(make([]string, n)), nil
	}
	tokens, err := bench.Populate(ctx, r.conns[0], r.operator, run, n)
	return attemptsOf(tokens), err
}

// measure is one round of one kind of call.
func (c *compareCmd) measure(ctx context.Context, r *rival, op bench.Op, round int) error {
	load := bench.Load{Op: op, Workers: c.Workers, Conns: r.conns, Attempts: r.attempts, For: c.For}
	switch op {
	case bench.Report:
		fresh, err := r.populate(ctx, fmt.Sprintf("report-%d", round), cmp.Or(c.Reports, reportAttempts))
		if err != nil {
			return err
		}
		load.Attempts = fresh
	case bench.Logs:
		load.Workers = min(c.Workers, 16)
		fresh, err := r.populate(ctx, fmt.Sprintf("logs-%d", round), load.Workers) // whose logs are empty
		if err != nil {
			return err
		}
		load.Attempts = fresh
	}
	before, err1 := r.server.spent()
	beforeDB, err2 := r.database.spent()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	got, err := bench.Run(ctx, load)
	if err != nil {
		return err
	}
	after, err1 := r.server.spent()
	afterDB, err2 := r.database.spent()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	r.rounds[op] = append(r.rounds[op], row{
		Op: op, Target: r.name, PerSecond: got.PerSecond(), Calls: got.Calls, P50: got.P50, P99: got.P99,
		CPU:      (after.CPU - before.CPU) / time.Duration(max(got.Calls, 1)),
		Database: (afterDB.CPU - beforeDB.CPU) / time.Duration(max(got.Calls, 1)), RSS: after.RSS,
	})
	return nil
}

// end ends the server, and then its database.
func (r *rival) end() error {
	hangUp(r.conns)
	var errs []error
	for _, c := range []*child{r.server, r.database} {
		if c != nil {
			errs = append(errs, c.end())
		}
	}
	return errors.Join(errs...)
}

// table is the median round of each kind of call on each server, with its ratio to bare, and
// to the way without batches.
func table(ops []bench.Op, rivals []*rival) []row {
	var out []row
	for _, op := range ops {
		bare := median(rivals[0].rounds[op])
		for _, r := range rivals {
			one := median(r.rounds[op])
			one.OfBare = quotient(one.PerSecond, bare.PerSecond)
			for _, other := range rivals {
				if other.name == r.name+"-direct" {
					one.OfDirect = quotient(one.PerSecond, median(other.rounds[op]).PerSecond)
				}
			}
			out = append(out, one)
		}
	}
	return out
}

// quotient is 0 where there is nothing to divide by: a round in which nothing was answered.
func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func median(rows []row) row {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b row) int { return cmp.Compare(a.PerSecond, b.PerSecond) })
	return rows[len(rows)/2]
}
