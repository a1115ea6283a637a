// Command mutants judges the conformance suite by systems that are broken in one way each:
//
//	go run ./tools/mutants                # each by its own check, and by 20 of other things
//	go run ./tools/mutants -full          # each by every check; writes the table
//	go run ./tools/mutants -full -missing # what the table lacks, alone
//	go run ./tools/mutants -full -v -side agent -mutant "code" -check "A-RUN"
//
// The control of each check is the same check of the same system without the fault. It
// may import internal/mutants, what is below it, and internal/testbed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/internal/mutants"
	"github.com/neochaotic/leoflow/internal/mutants/agents"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
	"github.com/neochaotic/leoflow/internal/testbed"
)

// tablePath is where the table is, from the root of the repository.
const tablePath = "internal/mutants/matrix.tsv"

func main() {
	testbed.MaybeChild()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1) //nolint:gocritic // nothing else is deferred
	}
}

// config is what the flags say.
type config struct {
	full, missing, verbose bool
	side, table            string
	mutant, check          *regexp.Regexp
	atOnce                 int
}

func flags() (config, error) {
	var c config
	flag.BoolVar(&c.full, "full", false, "judge each mutant by every check, and write the table")
	flag.BoolVar(&c.missing, "missing", false, "with -full: run only mutants and checks that the table lacks")
	flag.BoolVar(&c.verbose, "v", false, "tell of each mutant what found it, and by what words")
	flag.StringVar(&c.side, "side", "", "only the mutants of this `side`: server or agent")
	flag.Func("mutant", "only the mutants whose names match this `regexp`; no table is written", pattern(&c.mutant))
	flag.Func("check", "with -full: only the checks whose ids match this `regexp`; no table is written", pattern(&c.check))
	flag.IntVar(&c.atOnce, "at-once", 0, "how `many` mutants are judged at once; 0: what suits the side")
	flag.StringVar(&c.table, "table", tablePath, "the table's `file`")
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		return c, fmt.Errorf("%q is no flag; see -help", flag.Arg(0))
	case !slices.Contains([]string{"", "server", "agent"}, c.side):
		return c, fmt.Errorf("-side %q: it is server or agent", c.side)
	case c.atOnce < 0:
		return c, fmt.Errorf("-at-once %d: give at least 1, or leave it out", c.atOnce)
	case c.missing && (!c.full || c.some()):
		return c, errors.New("-missing goes with -full, and without -mutant and -check")
	}
	return c, nil
}

// pattern reads a flag's regular expression.
func pattern(into **regexp.Regexp) func(string) error {
	return func(text string) (err error) {
		*into, err = regexp.Compile(text)
		return err
	}
}

// some reports whether only some of the matrix is run.
func (c config) some() bool { return c.mutant != nil || c.check != nil }

// writes reports whether the table is written.
func (c config) writes() bool { return c.full && !c.some() }

// sides are the sides that are asked for.
func (c config) sides(dir string) ([]*matrix.Side, error) {
	servers, err := mutants.Side()
	if err != nil {
		return nil, err
	}
	agents, err := agents.Side(dir)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc([]*matrix.Side{servers, agents}, func(s *matrix.Side) bool {
		return c.side != "" && c.side != string(s.Side)
	}), nil
}

func run(ctx context.Context) (err error) {
	c, err := flags()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "leoflow-mutants-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sides, err := c.sides(dir)
	if err != nil {
		return err
	}
	before, err := matrix.ReadTable(c.table)
	if err != nil {
		return err
	}
	faults := 0
	after := &matrix.Table{}
	for _, side := range catalogue.Sides() {
		i := slices.IndexFunc(sides, func(s *matrix.Side) bool { return s.Side == side })
		if i < 0 {
			after.Rows = append(after.Rows, before.Of(side).Rows...)
			continue
		}
		report, err := c.judge(ctx, sides[i], before, after)
		if err != nil {
			return err
		}
		faults += len(report.Faults)
		after.Rows = append(after.Rows, report.Table.Rows...)
	}
	if c.writes() {
		if err := after.Write(c.table); err != nil {
			return err
		}
		fmt.Println("wrote", c.table)
	}
	if faults > 0 {
		return fmt.Errorf("%d faults", faults)
	}
	return nil
}

// judge judges the mutants of one side, and tells what came of it. What a run that is ended
// early has found, the table has: -missing goes on from there.
func (c config) judge(ctx context.Context, s *matrix.Side, before, after *matrix.Table) (*matrix.Report, error) {
	o := matrix.Options{Full: c.full, Only: c.mutant, Checks: c.check}
	if c.missing {
		o.Known = before
	}
	var kept error
	so := o.Known.Of(s.Side)
	o.Done = func(v matrix.Verdict) {
		c.tell(v)
		if c.writes() && kept == nil {
			so = so.With(s, v)
			kept = with(before, after, so, s.Side).Write(c.table)
		}
	}
	if c.atOnce > 0 {
		s.AtOnce = c.atOnce
	}
	report, err := s.Run(ctx, o)
	if err := errors.Join(err, kept); err != nil {
		return nil, err
	}
	for _, fault := range report.Faults {
		fmt.Printf("FAULT %s: %s\n", s.Side, fault)
	}
	fmt.Println(report.Summary())
	return report, nil
}

// with is the table while a side is judged: what is known of it so far, and of the others.
func with(before, after, so *matrix.Table, side catalogue.Side) *matrix.Table {
	out := &matrix.Table{}
	for _, s := range catalogue.Sides() {
		of := before.Of(s)
		if s == side {
			of = so
		} else if judged := after.Of(s); len(judged.Rows) > 0 {
			of = judged
		}
		out.Rows = append(out.Rows, of.Rows...)
	}
	return out
}

// tell tells of one mutant.
func (c config) tell(v matrix.Verdict) {
	for _, text := range v.Unsteady {
		fmt.Printf("unsteady: %s: %s\n", v.Mutant.Name, text)
	}
	for _, text := range v.Faults {
		fmt.Printf("fault: %s: %s\n", v.Mutant.Name, text)
	}
	if !c.verbose {
		return
	}
	fmt.Printf("%s: found by %d checks, in %.1f s\n", v.Mutant.Name, len(v.Found), v.Took.Seconds())
	for id, why := range v.Found {
		fmt.Printf("    %s: %s\n", id, why)
	}
}
