package matrix

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// most is how many checks may find a mutant beside the one that is named for it.
const most = 5

// sentinels is how many checks of other things each mutant must pass.
const sentinels = 20

// Mutant is a system that is broken in one way.
type Mutant struct {
	// Name says what it does wrong; empty: nothing.
	Name string
	// Check must find it.
	Check string
	// Also are the other checks that find it.
	Also Also
	// Broad says why any number of others may find it, and Also need not list them.
	Broad string
	// Way is how it is judged, where that is another way than the usual one.
	Way string
}

// Rule is the rule that it breaks.
func (m Mutant) Rule() string {
	rule, _, _ := strings.Cut(m.Check, "/")
	return rule
}

// Judge runs checks against a mutant, or against the same system without a fault.
type Judge func(ctx context.Context, m Mutant, checks []string) (*suite.Results, error)

// Side is the mutants of one side, and how they are judged.
type Side struct {
	Side    catalogue.Side
	Rules   *catalogue.Catalogue
	Checks  []suite.Check
	Mutants []Mutant
	// Sentinels are checks that every mutant passes that does not list them.
	Sentinels []string
	// Unfound are the checks of what must be kept that no mutant can be made for, each
	// with why. The list is strict.
	Unfound map[string]string
	// AtOnce is how many mutants are judged at once.
	AtOnce int
	// Open makes a Judge that is used for one mutant at a time, until it is closed.
	Open func(context.Context) (judge Judge, closed func() error, err error)
}

// Faults are what is wrong with the lists alone, before anything is run.
func (s *Side) Faults() []string {
	var out []string
	fault := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	known := map[string]bool{}
	for _, c := range s.Checks {
		known[c.ID] = true
	}
	want := func(of, id string) {
		if !known[id] {
			fault("%s: there is no check %s", of, id)
		}
	}
	names, rules := map[string]bool{}, map[string]bool{}
	for _, m := range s.Mutants {
		if m.Name == "" || names[m.Name] {
			fault("%q: a mutant has no name, or that of another", m.Name)
		}
		names[m.Name], rules[m.Rule()] = true, true
		want(m.Name, m.Check)
		for id, why := range m.Also {
			want(m.Name, id)
			if strings.TrimSpace(why) == "" || id == m.Check {
				fault("%s: it is not said why %s finds it, or that is the check named for it", m.Name, id)
			}
		}
		if len(m.Also) > most && m.Broad == "" {
			fault("%s: %d checks beside its own find it, over %d: make it break less", m.Name, len(m.Also), most)
		}
	}
	for _, id := range s.Sentinels {
		want("sentinels", id)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(s.Sentinels)))); n != sentinels {
		fault("there are %d sentinels, not %d", n, sentinels)
	}
	for id, why := range s.Unfound {
		want("unfound", id)
		if strings.TrimSpace(why) == "" {
			fault("unfound: it is not said why no mutant is for %s", id)
		}
	}
	for _, rule := range s.Rules.Rules(catalogue.Filter{Side: s.Side, Level: catalogue.Must}) {
		if checked := slices.ContainsFunc(s.Checks, func(c suite.Check) bool { return c.Rule == rule.ID }); checked && !rules[rule.ID] {
			fault("%s is checked, and no mutant is named for a check of it", rule.ID)
		}
	}
	return out
}

// unfound are the checks of what must be kept that are not among those found.
func (s *Side) unfound(found map[string]bool) []string {
	var out []string
	for _, c := range s.Checks {
		rule, err := s.Rules.Rule(c.Rule)
		if err == nil && rule.Level == catalogue.Must && !found[c.ID] {
			out = append(out, c.ID)
		}
	}
	return out
}
