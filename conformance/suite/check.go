package suite

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// DefaultDeadline is how long a check may take that sets no deadline of its own, before
// the run's scale.
const DefaultDeadline = 10 * time.Second

// Check tries one rule in one way.
type Check struct {
	// ID is the rule's id, a slash and a word: "AUTH-2/expired/Heartbeat". It is unique.
	ID string
	// Rule is the id of the one rule that fails when this fails.
	Rule string
	// RPCs are the methods that the check exercises, by their names on the wire. It must
	// record a step of each in order to pass; none: it must record at least one step.
	RPCs []catalogue.RPC
	// Name says in a few words what is tried.
	Name string
	// Parallel: other checks may run beside it. A check that stops the system, or makes
	// its store fail, must not say so.
	Parallel bool
	// Deadline is how long it may take, before the run's scale; 0: DefaultDeadline.
	Deadline time.Duration
	// Run does the work. It ends by returning, or by a method of T that stops it.
	Run func(*T)
}

// Validate finds what is wrong with a list of checks: an id that is not unique or does
// not begin with its rule, a rule that the catalogue lacks or leaves to other tests, an
// RPC that the rule does not concern, or no work. The error has a line for each fault.
func Validate(rules *catalogue.Catalogue, checks []Check) error {
	var faults []error
	seen := map[string]bool{}
	for i, c := range checks {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("check %d, %q: %s", i, c.ID, fmt.Sprintf(format, args...)))
		}
		if seen[c.ID] {
			fault("there is another of this id")
		}
		seen[c.ID] = true
		if c.Run == nil || strings.TrimSpace(c.Name) == "" || c.Deadline < 0 {
			fault("it lacks its name or its work, or its deadline is negative")
		}
		if word, isOf := strings.CutPrefix(c.ID, c.Rule+"/"); !isOf || word == "" {
			fault("the id is not %s, a slash and a word", c.Rule)
		}
		rule, err := rules.Rule(c.Rule)
		switch {
		case err != nil:
			fault("%v", err)
			continue
		case rule.Evidence == catalogue.Internal:
			fault("the rule is left to tests of each implementation")
		}
		for _, rpc := range c.RPCs {
			if !rule.Concerns(rpc) {
				fault("the rule is not about %s", rpc)
			}
		}
	}
	return errors.Join(faults...)
}

// Unchecked are the rules of a side that checks could judge and none of these does, in
// the order of the catalogue.
func Unchecked(rules *catalogue.Catalogue, side catalogue.Side, checks []Check) []catalogue.Rule {
	return slices.DeleteFunc(rules.Rules(catalogue.Filter{Side: side}), func(r catalogue.Rule) bool {
		return r.Evidence == catalogue.Internal ||
			slices.ContainsFunc(checks, func(c Check) bool { return c.Rule == r.ID })
	})
}
