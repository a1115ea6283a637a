package suite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// interrupted is why a check was not run, or not to its end.
const interrupted = "the run was interrupted"

// giveUp is how long after its deadline a check may take to notice, before a scale over 1: a
// smaller one makes no machine faster.
const giveUp = 2 * time.Second

// Options are how checks are run.
type Options struct {
	// Rules is the catalogue; required.
	Rules *catalogue.Catalogue
	// Side is whom the checks judge.
	Side catalogue.Side
	// Seed makes the order and the checks' choices.
	Seed uint64
	// Repeat is how often each check runs; 0: once.
	Repeat int
	// Parallel is how many checks may run at once; 0: one.
	Parallel int
	// TimeScale stretches every deadline and wait; 0: 1.
	TimeScale float64
	// Only are ids of rules, families or checks; empty: all.
	Only []string
	// RPC and Level choose further; empty: all.
	RPC   catalogue.RPC
	Level catalogue.Level
	// KnownFailing are ids of checks or rules that fail, each with the reason. One of
	// which nothing fails is a failure itself.
	KnownFailing map[string]string
	// Skip are ids of rules, families or checks that are not run, each with the reason.
	Skip map[string]string
	// Watch, if set, is told of the run as it goes.
	Watch Watcher
}

// complete fills what was left out, and finds what is wrong.
func (o *Options) complete(checks []Check) error {
	if o.Rules == nil {
		return errors.New("there is no catalogue of rules")
	}
	if o.Repeat < 0 || o.Parallel < 0 || o.TimeScale < 0 {
		return errors.New("repeat, parallel and time-scale are not negative")
	}
	o.Repeat, o.Parallel = max(o.Repeat, 1), max(o.Parallel, 1)
	if o.TimeScale == 0 {
		o.TimeScale = 1
	}
	var faults []error
	for _, id := range o.Only {
		err := o.known(id, checks)
		if err == nil {
			err = o.judged(id)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	for _, list := range []struct {
		name    string
		reasons map[string]string
		why     string
	}{{"known failing", o.KnownFailing, "it fails"}, {"skip", o.Skip, "it is left out"}} {
		for _, id := range sortedKeys(list.reasons) {
			if err := o.known(id, checks); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", list.name, err))
			} else if strings.TrimSpace(list.reasons[id]) == "" {
				faults = append(faults, fmt.Errorf("%s: %s has no reason: say why %s", list.name, id, list.why))
			}
		}
	}
	if o.Watch == nil {
		o.Watch = deaf{}
	}
	return errors.Join(faults...)
}

// known wants a check, a rule or a family of that name.
func (o *Options) known(id string, checks []Check) error {
	if slices.ContainsFunc(checks, func(c Check) bool { return c.ID == id }) {
		return nil
	}
	if strings.Contains(id, "/") {
		return fmt.Errorf("there is no check %q", id)
	}
	if _, err := o.Rules.Family(id); err == nil {
		return nil
	}
	_, err := o.Rules.Rule(id)
	return err
}

// judged wants a check or a family, or a rule that a run of this side can judge.
func (o *Options) judged(id string) error {
	rule, err := o.Rules.Rule(id)
	switch {
	case err != nil:
		return nil
	case o.Side != "" && rule.Side != o.Side:
		return fmt.Errorf("%s is a rule for another side: it binds each %s, and here a %s is judged", id, rule.Side, o.Side)
	case rule.Evidence == catalogue.Internal:
		return fmt.Errorf("%s cannot be judged from outside: it is left to tests of each implementation", id)
	}
	return nil
}

// means reports whether an id of a rule, a family or a check takes in a check.
func means(id string, c Check) bool {
	return id == c.ID || id == c.Rule || id == catalogue.Rule{ID: c.Rule}.Family()
}

func (o *Options) takes(c Check) bool {
	rule, err := o.Rules.Rule(c.Rule)
	return err == nil && (o.Level == "" || o.Level == rule.Level) &&
		(o.RPC == "" || slices.Contains(c.RPCs, o.RPC)) &&
		(len(o.Only) == 0 || slices.ContainsFunc(o.Only, func(id string) bool { return means(id, c) }))
}

// Run runs the checks that the options choose, and returns what became of each. The
// error is of the options or of the list of checks, before anything ran. A cancelled ctx
// ends the run early: the results say so, and the checks that it met count as not run.
func Run(ctx context.Context, checks []Check, o Options) (*Results, error) {
	if err := o.complete(checks); err != nil {
		return nil, err
	}
	if err := Validate(o.Rules, checks); err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return !o.takes(c) })
	unchecked := slices.DeleteFunc(Unchecked(o.Rules, o.Side, checks), func(r catalogue.Rule) bool { return !o.takesRule(r) })
	if len(chosen)+len(unchecked) == 0 {
		return nil, errors.New("no check is chosen: no rule, RPC and level of those that were given go together")
	}
	began := time.Now()
	r := runner{options: o, checks: chosen, results: make([]Result, len(chosen))}
	for i, c := range chosen {
		rule, _ := o.Rules.Rule(c.Rule) // Validate has found it
		r.results[i] = Result{Check: c.ID, Rule: c.Rule, Level: rule.Level, RPCs: c.RPCs, Name: c.Name}
	}
	o.Watch.Begin(len(chosen) * o.Repeat)
	for repetition := range o.Repeat {
		r.round(ctx, repetition)
	}
	out := &Results{
		Seed: o.Seed, Side: o.Side, Edition: o.Rules.Edition(), Repeat: o.Repeat, Checks: r.results, Began: began,
		Interrupted: ctx.Err() != nil, Took: time.Since(began), partly: map[string]bool{},
	}
	for _, c := range checks {
		if !o.takes(c) {
			out.partly[c.Rule] = true
		}
	}
	for _, rule := range unchecked {
		out.Unchecked = append(out.Unchecked, rule.ID)
	}
	out.forgive(o.KnownFailing, chosen)
	return out, nil
}

// takesRule is takes for a rule that has no check.
func (o *Options) takesRule(r catalogue.Rule) bool {
	return (o.Level == "" || o.Level == r.Level) && (o.RPC == "" || r.Concerns(o.RPC)) &&
		(len(o.Only) == 0 || slices.Contains(o.Only, r.ID) || slices.Contains(o.Only, r.Family()))
}

// forgive marks the failures that were known, and finds the entries that are stale.
func (r *Results) forgive(known map[string]string, checks []Check) {
	for _, id := range sortedKeys(known) {
		failed, passed := false, false
		for i, c := range checks {
			if !means(id, c) {
				continue
			}
			switch result := &r.Checks[i]; result.Status {
			case Failed:
				result.Status = KnownFailing
				result.Reason = "known: " + known[id] + "\n" + result.Reason
				failed = true
			case KnownFailing:
				failed = true
			case Passed:
				passed = true
			}
		}
		if passed && !failed {
			r.Stale = append(r.Stale, id)
		}
	}
}

// runner is a run under way.
type runner struct {
	options Options
	checks  []Check

	alone sync.RWMutex // held for writing by a check beside which none may run

	mu      sync.Mutex
	results []Result

	watching sync.Mutex // held while the watcher is told
}

// tell tells the watcher.
func (r *runner) tell(of func(Watcher)) {
	r.watching.Lock()
	defer r.watching.Unlock()
	of(r.options.Watch)
}

// leftOut is why a check is not to run.
func (o *Options) leftOut(c Check) (reason string, isLeftOut bool) {
	for _, id := range sortedKeys(o.Skip) {
		if means(id, c) {
			return "left out: " + o.Skip[id], true
		}
	}
	return "", false
}

// round runs every check once, in an order that the seed makes.
func (r *runner) round(ctx context.Context, repetition int) {
	mix := rand.New(rand.NewPCG(r.options.Seed, uint64(repetition))) //nolint:gosec // an order, to be made again by the seed
	order := mix.Perm(len(r.checks))
	// Those that run alone come together, before or after the others: among them each
	// would wait for the end of all that is under way, while nothing else begins.
	aloneFirst := mix.IntN(2) == 0
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case r.checks[i].Parallel == r.checks[j].Parallel:
			return 0
		case r.checks[j].Parallel == aloneFirst:
			return -1
		}
		return 1
	})
	next := make(chan int)
	var workers sync.WaitGroup
	for range r.options.Parallel {
		workers.Go(func() {
			for i := range next {
				r.one(ctx, i, repetition)
			}
		})
	}
	for _, i := range order {
		next <- i
	}
	close(next)
	workers.Wait()
}

// one runs a check and adds its result to those of its other repetitions.
func (r *runner) one(ctx context.Context, i, repetition int) {
	if r.checks[i].Parallel {
		r.alone.RLock()
		defer r.alone.RUnlock()
	} else {
		r.alone.Lock()
		defer r.alone.Unlock()
	}
	c := r.checks[i]
	single := Result{Check: c.ID, Rule: c.Rule, Level: r.results[i].Level, RPCs: c.RPCs, Name: c.Name, Runs: 1, Status: Skipped}
	reason, isLeftOut := r.options.leftOut(c)
	switch {
	case isLeftOut:
		single.NotRun, single.Reason = true, reason
	case ctx.Err() != nil:
		single.NotRun, single.Reason = true, interrupted
	default:
		r.tell(func(w Watcher) { w.Start(c.ID) })
		r.execute(ctx, c, repetition, &single)
	}
	r.mu.Lock()
	r.results[i].add(single, repetition)
	r.mu.Unlock()
	r.tell(func(w Watcher) { w.Done(single) })
}

// add takes in one more run of the check: the worst one is told.
func (r *Result) add(single Result, repetition int) {
	if r.Runs == 0 || single.Status.badness() > r.Status.badness() {
		r.Status, r.Reason, r.NotRun, r.Evidence = single.Status, single.Reason, single.NotRun, single.Evidence
		if repetition > 0 && single.Reason != "" {
			r.Reason = fmt.Sprintf("in repetition %d: %s", repetition+1, single.Reason)
		}
	}
	if single.Status == Failed || single.Status == Broken {
		r.Bad++
	}
	r.Runs++
	r.Took = max(r.Took, single.Took)
}

// execute runs a check to its end, or gives it up.
func (r *runner) execute(ctx context.Context, c Check, repetition int, result *Result) {
	deadline := scaled(c.deadline(), r.options.TimeScale)
	within, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	t := newT(within, c, r.options.Seed, repetition, r.options.TimeScale)
	t.watch = func(e Event) { r.tell(func(w Watcher) { w.Step(c.ID, e) }) }
	done := make(chan struct{})
	go t.run(c.Run, done)
	patience := time.NewTimer(deadline + scaled(giveUp, max(1, r.options.TimeScale)))
	defer patience.Stop()
	select {
	case <-done:
		if errors.Is(within.Err(), context.DeadlineExceeded) {
			t.set(Failed, fmt.Sprintf("the check had not ended by its deadline, %v", deadline))
		}
	case <-patience.C:
		t.set(Failed, fmt.Sprintf("the check hung past its deadline, %v, and was given up", deadline))
	}
	t.end(c, result)
}

func (c Check) deadline() time.Duration {
	if c.Deadline == 0 {
		return DefaultDeadline
	}
	return c.Deadline
}

// end closes the check's book: nothing that it still does counts.
func (t *T) end(c Check, result *Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.interrupted() && t.status.badness() < Failed.badness() {
		t.status, t.reasons, result.NotRun = Skipped, []string{interrupted}, true
	}
	if t.status == Passed {
		t.doubt(c)
	}
	result.Status, result.Reason = t.status, strings.Join(t.reasons, "\n")
	result.Took, result.Evidence = time.Since(t.began), t.events
}

// doubt finds that a check passed without having looked. It wants t.mu.
func (t *T) doubt(c Check) {
	for _, rpc := range c.RPCs {
		if !t.recorded[rpc] {
			t.status = Broken
			t.reasons = append(t.reasons, fmt.Sprintf("the check passed without a step of %s", rpc))
		}
	}
	if len(t.events) == 0 {
		t.status = Broken
		t.reasons = append(t.reasons, "the check passed without a step")
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
