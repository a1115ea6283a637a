package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/neochaotic/leoflow/internal/bench"
)

// tries is how often what breaks a bound is measured.
const tries = 2

type checkCmd struct {
	Bounds   string        `placeholder:"FILE" help:"Bounds to hold our servers to; by default those of internal/bench/bounds.yaml."`
	Postgres string        `placeholder:"DSN" help:"Make the databases on this server of PostgreSQL; by default on private ones, from the installed binaries."`
	Rounds   int           `default:"3" placeholder:"N" help:"How often each server is measured, in turn; the median counts. By default ${default}."`
	For      time.Duration `default:"250ms" placeholder:"TIME" help:"How long each kind of call is made in a round, by default ${default}."`
	Live     int           `default:"256" placeholder:"N" help:"Live attempts on each server, and as many for a round of reports; by default ${default}."`
	Workers  int           `default:"32" placeholder:"N" help:"How many call at the same time, by default ${default}."`
	Conns    int           `default:"4" placeholder:"N" help:"Over how many connections, by default ${default}."`
	form
}

// Help says what is checked.
func (checkCmd) Help() string {
	return `Measure our servers beside a bare gRPC server, in rounds, and hold the medians of the rounds' ratios to
bounds: a round in which the machine does something else counts alike for all. What breaks a bound is
measured again, with as many rounds more; if it still does, the command fails and names it.`
}

// verdict is a bound with what was measured.
type verdict struct {
	bench.Bound `json:"bound"`
	Got         bench.Ratios `json:"measured"`
	Rounds      int          `json:"rounds"`
	Held        bool         `json:"held"`
}

// Run checks.
func (c *checkCmd) Run(con *console) (err error) {
	list, err := c.bounds()
	if err != nil {
		return err
	}
	if c.Rounds < 1 || c.For <= 0 || c.Workers < 1 || c.Conns < 1 || c.Live < c.Workers {
		return badUsage{errors.New("--rounds, --for, --workers or --conns is 0 or less, or --live is less than --workers: give more, or leave it out")}
	}
	ctx, stop := untilAsked()
	defer stop()
	way := c.way()
	all, err := way.startAll(ctx, con, serversOf(list))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.end()) }()
	verdicts := make([]verdict, len(list))
	for i, b := range list {
		verdicts[i].Bound = b
	}
	for _, op := range bench.Ops() {
		if err := c.judge(ctx, way, op, all, verdicts); err != nil {
			return err
		}
	}
	var broken []error
	for _, v := range verdicts {
		broken = append(broken, v.Broken(v.Got))
	}
	return errors.Join(append([]error{c.show(con, verdicts, sheetOf(verdicts))}, broken...)...)
}

func (c *checkCmd) bounds() ([]bench.Bound, error) {
	text, name := bench.Bounds(), "bounds.yaml"
	if c.Bounds != "" {
		var err error
		if text, err = os.ReadFile(c.Bounds); err != nil {
			return nil, badUsage{fmt.Errorf("--bounds: %w", err)}
		}
		name = c.Bounds
	}
	list, err := bench.ReadBounds(text, ourServers)
	if err != nil {
		return nil, badUsage{fmt.Errorf("--bounds: %s: %w", name, err)}
	}
	return list, nil
}

// way is how servers are compared here.
func (c *checkCmd) way() *compareCmd {
	return &compareCmd{Postgres: c.Postgres, Live: c.Live, Reports: c.Live, shape: shape{Workers: c.Workers, Conns: c.Conns, For: c.For}}
}

// ourServers are those that bounds may be about.
var ourServers = []string{"sqlite", "postgres"}

// serversOf are the servers that bounds take, the bare one first.
func serversOf(list []bench.Bound) []string {
	out := []string{bareName}
	for _, name := range targets {
		if slices.ContainsFunc(list, func(b bench.Bound) bool { return slices.Contains(needs(b), name) }) {
			out = append(out, name)
		}
	}
	return out
}

// needs are the servers, other than the bare one, that a bound takes.
func needs(b bench.Bound) []string {
	if b.OfDirect > 0 {
		return []string{b.Server + directSuffix, b.Server}
	}
	return []string{b.Server}
}

// judge measures one kind of call, and what is broken again, for the verdicts on it.
func (c *checkCmd) judge(ctx context.Context, way *compareCmd, op bench.Op, all rivals, verdicts []verdict) error {
	var mine []*verdict
	var bounds []bench.Bound
	for i := range verdicts {
		if v := &verdicts[i]; v.Op == op {
			mine, bounds = append(mine, v), append(bounds, v.Bound)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	names := serversOf(bounds)
	for range tries {
		for range c.Rounds {
			for _, name := range names {
				if err := way.measure(ctx, all.named(name), op); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		good := true
		for _, v := range mine {
			rounds := ratiosOf(op, all.named(bareName), all.named(v.Server), all.named(v.Server+directSuffix))
			v.Got, v.Rounds = bench.MedianRatios(rounds), len(rounds)
			v.Held = v.Broken(v.Got) == nil
			good = good && v.Held
		}
		if good {
			return nil
		}
	}
	return nil
}

// ratiosOf has the ratios of each round; direct may be nil.
func ratiosOf(op bench.Op, bare, ours, direct *rival) []bench.Ratios {
	out := make([]bench.Ratios, len(ours.rounds[op]))
	for i, one := range ours.rounds[op] {
		base := bare.rounds[op][i]
		out[i].OfBare = quotient(one.PerSecond, base.PerSecond)
		out[i].CPU = quotient(float64(one.CPU+one.Database), float64(base.CPU))
		if direct != nil && i < len(direct.rounds[op]) {
			out[i].OfDirect = quotient(one.PerSecond, direct.rounds[op][i].PerSecond)
		}
	}
	return out
}

func sheetOf(verdicts []verdict) *sheet {
	out := &sheet{heads: []string{"op", "server", "÷ bare", "at least", "÷ direct", "at least", "CPU ÷ bare", "at most", "rounds", ""}}
	for _, v := range verdicts {
		word := "broken"
		if v.Held {
			word = "held"
		}
		out.add(string(v.Op), v.Server, ratio(v.Got.OfBare), ratio(v.OfBare), ratio(v.Got.OfDirect), ratio(v.OfDirect),
			ratio(v.Got.CPU), ratio(v.CPU), fmt.Sprint(v.Rounds), word)
	}
	return out
}
