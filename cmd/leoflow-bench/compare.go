package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/bench"
	"github.com/neochaotic/leoflow/internal/store"
)

// The attempts of one round of reports, so that it lasts some 2 s: a bare server answers that
// many, one of ours that many, and one that writes without batches that many.
const (
	reportAttemptsBare   = 20_000
	reportAttempts       = 6_000
	reportAttemptsDirect = 1_000
)

type compareCmd struct {
	Target   []string `placeholder:"NAME" help:"Servers to compare with bare gRPC: sqlite-direct, sqlite, postgres-direct, postgres; by default all."`
	Postgres string   `placeholder:"DSN" help:"Make the databases on this server of PostgreSQL; by default on private ones, from the installed binaries."`
	Live     int      `default:"1000" placeholder:"N" help:"Live attempts on each server, by default ${default}."`
	Rounds   int      `default:"3" placeholder:"N" help:"How often each server is measured, in turn; the median counts. By default ${default}."`
	Profile  string   `type:"existingdir" placeholder:"DIR" help:"Write a profile of the processor of each server into this directory."`
	Reports  int      `kong:"-"` // attempts of a round of reports, which uses them up
	shape
}

// bareName is the server that the others are compared with, and directSuffix ends the name
// of one that writes without batches.
const (
	bareName     = "bare"
	directSuffix = "-direct"
)

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
machine; put the same load on one after the other, in rounds, and print how they compare.

Each round of reports is of fresh attempts, which it uses up: of each that it runs, and that it ended
well. As agents do, they have read their specifications before, and that is not measured.`
}

// rival is a server that is compared.
type rival struct {
	*subject
	name     string
	attempts []bench.Attempt
	rounds   map[bench.Op][]row
}

// rivals are those that are compared with each other.
type rivals []*rival

// named is the one of that name; nil: there is none.
func (all rivals) named(name string) *rival {
	for _, r := range all {
		if r.name == name {
			return r
		}
	}
	return nil
}

func (all rivals) end() error {
	var errs []error
	for _, r := range all {
		errs = append(errs, r.end())
	}
	return errors.Join(errs...)
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
	all, err := c.startAll(ctx, con, append([]string{bareName}, c.Target...))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.end()) }()
	for _, op := range ops {
		for range c.Rounds {
			for _, r := range all {
				if err := c.measure(ctx, r, op); err != nil {
					return fmt.Errorf("%s: %w", r.name, err)
				}
			}
		}
	}
	return c.show(con, table(ops, all))
}

// startAll starts the servers of those names.
func (c *compareCmd) startAll(ctx context.Context, con *console, names []string) (rivals, error) {
	var all rivals
	for _, name := range names {
		r, err := c.start(ctx, con, name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), all.end())
		}
		all = append(all, r)
	}
	return all, nil
}

// start starts a server, with its database, and populates it.
func (c *compareCmd) start(ctx context.Context, con *console, name string) (*rival, error) {
	on, direct := strings.CutSuffix(name, directSuffix)
	u := setup{bare: name == bareName, on: on, postgres: c.Postgres, conns: c.Conns, profileDir: c.Profile, name: name}
	if direct {
		u.writePath = store.Direct
	}
	s, err := u.start(ctx, con)
	if err != nil {
		return nil, err
	}
	r := &rival{subject: s, name: name, rounds: map[bench.Op][]row{}}
	if r.attempts, err = r.populate(ctx, "live", c.Live); err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

// populate has fresh attempts; a bare server takes any.
func (r *rival) populate(ctx context.Context, run string, n int) ([]bench.Attempt, error) {
	if r.hello.Operator == "" {
		tokens, err := strangers(run, n)
		return bench.NewAttempts(tokens), err
	}
	tokens, err := bench.Populate(ctx, r.conns[0], r.hello.Operator, run, n)
	return bench.NewAttempts(tokens), err
}

// reportAttempts is how many attempts a round of reports takes.
func (r *rival) reportAttempts() int {
	switch {
	case r.hello.Operator == "":
		return reportAttemptsBare
	case strings.HasSuffix(r.name, directSuffix):
		return reportAttemptsDirect
	}
	return reportAttempts
}

// strangers are tokens like those of attempts that were launched, which no server knows. The
// transport has a token to read whoever looks at it: a bare server is sent them too.
func strangers(run string, n int) ([]string, error) {
	keys, err := auth.GenerateKeys()
	if err != nil {
		return nil, err
	}
	tokens := auth.NewTokens(keys, nil)
	out := make([]string, n)
	for i := range out {
		id := auth.AgentIdentity{
			TaskInstanceID: uuid.NewString(), TenantID: "bench", DagID: "bench", RunID: run + "-0", TaskID: fmt.Sprint("task-", i), TryNumber: 1,
		}
		if out[i], _, err = tokens.MintAttempt(id, time.Now(), time.Hour); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// measure is one more round of one kind of call.
func (c *compareCmd) measure(ctx context.Context, r *rival, op bench.Op) error {
	round := len(r.rounds[op])
	load := bench.Load{Op: op, Workers: c.Workers, Conns: r.conns, Attempts: r.attempts, For: c.For}
	switch op {
	case bench.Report:
		fresh, err := r.populate(ctx, fmt.Sprintf("report-%d", round), cmp.Or(c.Reports, r.reportAttempts()))
		if err != nil {
			return err
		}
		load.Attempts = fresh
		if err := load.Begin(ctx); err != nil {
			return err
		}
	case bench.Logs:
		load.Workers = min(c.Workers, 16)
		fresh, err := r.populate(ctx, fmt.Sprintf("logs-%d", round), load.Workers) // whose logs are empty
		if err != nil {
			return err
		}
		load.Attempts = fresh
	}
	var got bench.Result
	spent, err := r.costOf(func() (err error) {
		got, err = bench.Run(ctx, load)
		return err
	})
	if err != nil {
		return err
	}
	calls := time.Duration(max(got.Calls, 1))
	r.rounds[op] = append(r.rounds[op], row{
		Op: op, Target: r.name, PerSecond: got.PerSecond(), Calls: got.Calls, P50: got.P50, P99: got.P99,
		CPU: spent.server / calls, Database: spent.database / calls, RSS: spent.rss,
	})
	return nil
}

// table is the median round of each kind of call on each server, with its ratio to bare, and
// to the way without batches.
func table(ops []bench.Op, all rivals) []row {
	var out []row
	for _, op := range ops {
		bare := median(all[0].rounds[op])
		for _, r := range all {
			one := median(r.rounds[op])
			one.OfBare = quotient(one.PerSecond, bare.PerSecond)
			if direct := all.named(r.name + directSuffix); direct != nil {
				one.OfDirect = quotient(one.PerSecond, median(direct.rounds[op]).PerSecond)
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
