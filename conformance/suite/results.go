package suite

import (
	"slices"
	"time"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// Status says what became of a check.
type Status string

// The statuses.
const (
	Passed       Status = "passed"
	Failed       Status = "failed"
	Skipped      Status = "skipped"       // its rule does not bind this system
	Untestable   Status = "untestable"    // it binds, and what the system offers does not let it be judged
	KnownFailing Status = "known-failing" // failed, and listed as such
	Broken       Status = "error"         // the suite's own fault
)

// Statuses returns every status, in the order in which they are told.
func Statuses() []Status {
	return []Status{Passed, Failed, KnownFailing, Skipped, Untestable, Broken}
}

// badness orders what a check, or its repetitions, may end as: the worst one counts.
func (s Status) badness() int {
	return slices.Index([]Status{Passed, Skipped, Untestable, KnownFailing, Failed, Broken}, s)
}

// Result is what became of a check, over all its repetitions.
type Result struct {
	Check  string
	Rule   string
	Level  catalogue.Level
	RPCs   []catalogue.RPC
	Name   string
	Status Status
	// Reason is why it is not passed; of several, one a line.
	Reason string
	// NotRun: it is skipped since the options left it out, or the run was interrupted, and
	// not since its rule does not bind this system.
	NotRun bool
	// Runs is how often it ran, and Bad how often it did not end well.
	Runs int
	Bad  int
	// Took is the time of the longest run.
	Took time.Duration
	// Evidence is of the first of the worst runs.
	Evidence []Event
}

// Results are what a run found. They do not change, and are safe for concurrent use.
type Results struct {
	Seed    uint64
	Side    catalogue.Side
	Edition int // of the catalogue
	Repeat  int // how often each check ran
	// Checks are in the order in which they were given.
	Checks []Result
	// Unchecked are the chosen rules for which there is no check.
	Unchecked []string
	// Stale are entries of the list of known failures of which nothing failed.
	Stale []string
	// Interrupted: not every check ran.
	Interrupted bool
	// Began is when the run began.
	Began time.Time
	Took  time.Duration

	partly map[string]bool // rules of which only some checks were chosen
}

// Count is how many checks have a status.
func (r *Results) Count(s Status) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// Rules is how many rules the checks that ran are of.
func (r *Results) Rules() int {
	rules := map[string]bool{}
	for _, c := range r.Checks {
		rules[c.Rule] = true
	}
	return len(rules)
}

// Cells is how many pairs of an RPC and a rule's family the checks that passed or failed
// looked at.
func (r *Results) Cells() int {
	cells := map[string]bool{}
	for _, c := range r.Checks {
		if c.Status != Passed && c.Status != Failed && c.Status != KnownFailing {
			continue
		}
		for _, rpc := range c.RPCs {
			cells[string(rpc)+" "+catalogue.Rule{ID: c.Rule}.Family()] = true
		}
	}
	return len(cells)
}

// Check returns the result of a check by its id; nil: there is none.
func (r *Results) Check(id string) *Result {
	for i := range r.Checks {
		if r.Checks[i].Check == id {
			return &r.Checks[i]
		}
	}
	return nil
}

// ExitCode is 0 when all is well, 1 when a check failed, an entry of the known failures
// is stale, the run was interrupted, or nothing passed; 4 when the suite itself failed.
func (r *Results) ExitCode() int {
	switch {
	case r.Count(Broken) > 0:
		return 4
	case r.Count(Failed) > 0, len(r.Stale) > 0, r.Interrupted, r.Count(Passed) == 0:
		return 1
	}
	return 0
}
