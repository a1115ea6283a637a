package matrix

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// Options are how much is run.
type Options struct {
	// Full: every check tries each mutant, not its own and the sentinels alone.
	Full bool
	// Only chooses mutants by their names, and Checks checks by their ids; nil: all.
	Only, Checks *regexp.Regexp
	// Known is what an earlier full run found, which is not run again; nil: nothing.
	Known *Table
	// Done, if set, is told of each mutant that was judged, one at a time.
	Done func(Verdict)
}

// Verdict is what became of one mutant.
type Verdict struct {
	Mutant Mutant
	// Killed: the check that is named for it found it.
	Killed bool
	// Found are the checks that found it, with what they say.
	Found map[string]string
	// Faults are what is not as it should be.
	Faults []string
	// Unsteady are checks that ended one way, and another when they were run again.
	Unsteady []string
	Took     time.Duration
}

// Report is what a run over a side's mutants found.
type Report struct {
	Side                          catalogue.Side
	Rules, Checks, Cells, Mutants int
	Controls, Kills, Unsteady     int
	Faults                        []string
	Took                          time.Duration
	// Table is what a full run found.
	Table *Table
}

// Summary is the counts, in a line.
func (r *Report) Summary() string {
	return fmt.Sprintf("%s: %d rules, %d checks, %d cells of RPC and concern; %d mutants, %d kills, %d controls passed, %d unsteady, %d faults; %.0f s",
		r.Side, r.Rules, r.Checks, r.Cells, r.Mutants, r.Kills, r.Controls, r.Unsteady, len(r.Faults), r.Took.Seconds())
}

// run is a run under way.
type run struct {
	*Side
	options Options
	sound   map[string]*suite.Results // by way: of the system without a fault
}

// Run judges the mutants of a side. The error is of the machinery: what mutants and
// checks do wrong is in the report.
func (s *Side) Run(ctx context.Context, o Options) (*Report, error) {
	began := time.Now()
	out := &Report{Side: s.Side, Checks: len(s.Checks), Faults: s.Faults(), Table: &Table{}}
	r := &run{Side: s, options: o, sound: map[string]*suite.Results{}}
	chosen := s.Mutants
	if o.Only != nil {
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(m Mutant) bool { return !o.Only.MatchString(m.Name) })
	}
	out.Rules, out.Cells = s.counts()
	if err := r.controls(ctx, chosen, out); err != nil {
		return nil, err
	}
	verdicts, err := r.all(ctx, chosen)
	if err != nil {
		return nil, err
	}
	for _, v := range verdicts {
		out.Mutants++
		out.Unsteady += len(v.Unsteady)
		if v.Killed {
			out.Kills++
		}
		for _, fault := range v.Faults {
			out.Faults = append(out.Faults, v.Mutant.Name+": "+fault)
		}
		out.Table.add(s.Side, v)
	}
	if o.Full && o.Only == nil && o.Checks == nil {
		out.Faults = append(out.Faults, out.Table.close(s)...)
	}
	out.Took = time.Since(began)
	return out, nil
}

// counts are the rules that checks are of, and the pairs of an RPC and a family.
func (s *Side) counts() (rules, cells int) {
	ruled, paired := map[string]bool{}, map[string]bool{}
	for _, c := range s.Checks {
		ruled[c.Rule] = true
		for _, rpc := range c.RPCs {
			paired[string(rpc)+" "+catalogue.Rule{ID: c.Rule}.Family()] = true
		}
	}
	return len(ruled), len(paired)
}

// tried are the checks to run against a mutant.
func (r *run) tried(m Mutant) []string {
	if !r.options.Full {
		out := []string{m.Check}
		for _, id := range r.Sentinels {
			if id != m.Check && m.Also[id] == "" {
				out = append(out, id)
			}
		}
		return out
	}
	var out []string
	for _, c := range r.Checks {
		chosen := r.options.Checks == nil || c.ID == m.Check || r.options.Checks.MatchString(c.ID)
		if chosen && !r.options.Known.tried(r.Side.Side, m, c.ID) {
			out = append(out, c.ID)
		}
	}
	return out
}

// controls judges the system without a fault, in each of the ways that mutants are
// judged, by every check that will try one of them.
func (r *run) controls(ctx context.Context, mutants []Mutant, out *Report) (err error) {
	tried := map[string]map[string]bool{}
	for _, m := range mutants {
		if tried[m.Way] == nil {
			tried[m.Way] = map[string]bool{}
		}
		for _, id := range append(r.tried(m), m.Check) {
			tried[m.Way][id] = true
		}
	}
	judge, closed, err := r.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed()) }()
	for way, ids := range tried {
		var only []string
		for _, c := range r.Checks { // in their order
			if ids[c.ID] {
				only = append(only, c.ID)
			}
		}
		if r.sound[way], err = judge(ctx, Mutant{Way: way}, only); err != nil {
			return err
		}
		for _, c := range r.sound[way].Checks {
			named := slices.ContainsFunc(mutants, func(m Mutant) bool { return m.Way == way && m.Check == c.Check })
			switch {
			case named && c.Status == suite.Passed:
				out.Controls++
			case named || way == "" && c.Status == suite.Failed || c.Status == suite.Broken:
				out.Faults = append(out.Faults, fmt.Sprintf("without a fault %s is %s: %s", c.Check, c.Status, brief(c.Reason)))
			}
		}
	}
	return nil
}

// all judges every mutant, some at once, and returns the verdicts in their order.
func (r *run) all(ctx context.Context, mutants []Mutant) ([]Verdict, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	verdicts := make([]Verdict, len(mutants))
	var mu sync.Mutex
	var failed error
	next := make(chan int)
	var workers sync.WaitGroup
	work := func() (err error) {
		judge, closed, err := r.Open(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closed()) }()
		for i := range next {
			if ctx.Err() != nil { // it was handed out as the run was ended
				return nil
			}
			v, err := r.one(ctx, judge, mutants[i])
			if err != nil {
				return err
			}
			mu.Lock()
			verdicts[i] = *v
			if r.options.Done != nil {
				r.options.Done(*v)
			}
			mu.Unlock()
		}
		return nil
	}
	for range max(1, r.AtOnce) {
		workers.Go(func() {
			if err := work(); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
				cancel()
			}
		})
	}
	for i := range mutants {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	if failed == nil {
		failed = context.Cause(ctx)
	}
	return verdicts, failed
}

// judged runs checks against a mutant. What a run that was ended meanwhile says is nothing:
// the checks that it did not come to are skipped.
func judged(ctx context.Context, judge Judge, m Mutant, checks []string) (*suite.Results, error) {
	results, err := judge(ctx, m, checks)
	if err == nil {
		err = context.Cause(ctx)
	}
	return results, err
}

// one judges a mutant, and once more by the checks of which something else is wanted.
func (r *run) one(ctx context.Context, judge Judge, m Mutant) (*Verdict, error) {
	began := time.Now()
	v := &Verdict{Mutant: m, Found: map[string]string{}}
	tried := r.tried(m)
	if len(tried) == 0 {
		r.options.Known.recall(r.Side.Side, v)
		return v, nil
	}
	results, err := judged(ctx, judge, m, tried)
	if err != nil {
		return nil, err
	}
	ends := map[string]suite.Result{}
	for _, c := range results.Checks {
		ends[c.Check] = c
	}
	if doubtful := r.doubtful(m, ends); len(doubtful) > 0 {
		again, err := judged(ctx, judge, m, doubtful)
		if err != nil {
			return nil, err
		}
		for _, c := range again.Checks {
			if c.Status != ends[c.Check].Status {
				v.Unsteady = append(v.Unsteady, fmt.Sprintf("%s was %s (%s), then %s (%s)", c.Check, ends[c.Check].Status, brief(ends[c.Check].Reason), c.Status, brief(c.Reason)))
			}
			ends[c.Check] = c
		}
	}
	r.options.Known.recall(r.Side.Side, v)
	r.conclude(m, tried, ends, v)
	v.Took = time.Since(began)
	return v, nil
}

// found reports whether a check ended as one that found the mutant.
func (r *run) found(m Mutant, c suite.Result) bool {
	return c.Status == suite.Failed && r.sound[m.Way].Check(c.Check).Status != suite.Failed
}

// listed reports whether a check should find a mutant.
func (m Mutant) listed(id string) bool { return id == m.Check || m.Also[id] != "" }

// doubtful are the checks that did not end as they should.
func (r *run) doubtful(m Mutant, ends map[string]suite.Result) []string {
	var out []string
	for id, c := range ends {
		if r.fault(m, c) != "" {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// brief is the beginning of a reason, as much as fits a line.
func brief(reason string) string {
	const most = 200
	line, _, more := strings.Cut(reason, "\n")
	if len(line) > most {
		line, more = strings.ToValidUTF8(line[:most], ""), true
	}
	if more {
		line += "…"
	}
	return line
}

// fault says what is wrong with the end of a check against a mutant. That one cannot judge
// a system that is broken elsewhere is no wrong judgement, but sentinels are chosen to.
func (r *run) fault(m Mutant, c suite.Result) string {
	found, listed := r.found(m, c), m.listed(c.Check)
	sound := r.sound[m.Way].Check(c.Check)
	switch {
	case listed && !found && c.Check == m.Check:
		return fmt.Sprintf("%s, which is named for it, did not find it: it is %s: %s", c.Check, c.Status, brief(c.Reason))
	case listed && !found:
		return fmt.Sprintf("%s is listed, and did not find it: it is %s: %s", c.Check, c.Status, brief(c.Reason))
	case found && !listed && (m.Broad == "" || !r.options.Full):
		return fmt.Sprintf("%s found it, too: %s", c.Check, brief(c.Reason))
	case !found && c.Status != sound.Status && (c.Status != suite.Untestable || !r.options.Full):
		return fmt.Sprintf("%s is %s, and %s without the fault: %s", c.Check, c.Status, sound.Status, brief(c.Reason))
	}
	return ""
}

// conclude makes the verdict of how the checks ended.
func (r *run) conclude(m Mutant, tried []string, ends map[string]suite.Result, v *Verdict) {
	for _, id := range tried {
		c := ends[id]
		if fault := r.fault(m, c); fault != "" {
			v.Faults = append(v.Faults, fault)
		}
		if r.found(m, c) {
			v.Found[id] = brief(c.Reason)
		}
	}
	_, v.Killed = v.Found[m.Check]
}
