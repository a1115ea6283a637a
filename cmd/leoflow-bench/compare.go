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
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/neochaotic/leoflow/internal/bench"
)

// reportAttempts are those of one round of reports, which uses them up.
const reportAttempts = 2000

type compareCmd struct {
	Live    int    `default:"1000" placeholder:"N" help:"Live attempts on each server, by default ${default}."`
	Rounds  int    `default:"3" placeholder:"N" help:"How often each server is measured, in turn; the median counts. By default ${default}."`
	Profile string `type:"existingdir" placeholder:"DIR" help:"Write a profile of the processor of each server into this directory."`
	shape
}

// Help says what is compared.
func (compareCmd) Help() string {
	return `Start a gRPC server with empty handlers, and servers of ours, each in a process of its own on this
machine; put the same load on one after the other, in rounds, and print how they compare.`
}

// rival is a server that is compared.
type rival struct {
	name     string
	process  *exec.Cmd
	input    io.Closer
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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
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
	for _, args := range [][]string{{"bare"}, {"ours", "--data-dir", filepath.Join(scratch, "sqlite")}} {
		r, err := c.start(ctx, con, args)
		if err != nil {
			return err
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
	return con.tell(c.Output, table(ops, rivals))
}

// start starts a child of this program, and populates it.
func (c *compareCmd) start(ctx context.Context, con *console, args []string) (*rival, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if c.Profile != "" {
		args = append(args, "--profile", filepath.Join(c.Profile, args[0]+".pprof"))
	}
	r := &rival{name: args[0], rounds: map[bench.Op][]row{}}
	r.process = exec.CommandContext(ctx, self, append([]string{"child"}, args...)...) //nolint:gosec // this program
	r.process.Stderr = con.err
	r.process.Cancel = func() error { return r.process.Process.Signal(syscall.SIGTERM) }
	if r.input, err = r.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.process.Start(); err != nil {
		return nil, err
	}
	text, err := bufio.NewReader(out).ReadBytes('\n')
	var hello greeting
	if err == nil {
		err = json.Unmarshal(text, &hello)
	}
	if err == nil {
		r.operator = hello.Operator
		r.conns, err = dial(hello.Addr, insecure.NewCredentials(), c.Conns)
	}
	if err == nil {
		r.attempts, err = r.populate(ctx, "live", c.Live)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", r.name, err), r.end())
	}
	return r, nil
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
		fresh, err := r.populate(ctx, fmt.Sprintf("report-%d", round), reportAttempts)
		if err != nil {
			return err
		}
		load.Attempts = fresh
	case bench.Logs:
		load.Workers = min(c.Workers, 16)
	}
	before, err := bench.SpentBy(r.process.Process.Pid)
	if err != nil {
		return err
	}
	got, err := bench.Run(ctx, load)
	if err != nil {
		return err
	}
	after, err := bench.SpentBy(r.process.Process.Pid)
	if err != nil {
		return err
	}
	r.rounds[op] = append(r.rounds[op], row{
		Op: op, Target: r.name, PerSecond: got.PerSecond(), Calls: got.Calls, P50: got.P50, P99: got.P99,
		CPU: (after.CPU - before.CPU) / time.Duration(max(got.Calls, 1)), RSS: after.RSS,
	})
	return nil
}

// end ends the server.
func (r *rival) end() error {
	hangUp(r.conns)
	_ = r.input.Close() // which is the sign to end
	return r.process.Wait()
}

// table is the median round of each kind of call on each server, with its ratio to bare.
func table(ops []bench.Op, rivals []*rival) []row {
	var out []row
	for _, op := range ops {
		bare := median(rivals[0].rounds[op])
		for _, r := range rivals {
			one := median(r.rounds[op])
			one.OfBare = one.PerSecond / bare.PerSecond
			out = append(out, one)
		}
	}
	return out
}

func median(rows []row) row {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b row) int { return cmp.Compare(a.PerSecond, b.PerSecond) })
	return rows[len(rows)/2]
}
