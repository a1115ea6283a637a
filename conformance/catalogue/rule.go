package catalogue

import (
	"fmt"
	"slices"
	"strings"
)

// Level says how strictly a rule binds.
type Level string

// The levels. Breaking a [Must] is a failure; breaking a [Should] takes a reason.
const (
	Must   Level = "must"
	Should Level = "should"
)

// Levels returns every level, the strictest first.
func Levels() []Level { return []Level{Must, Should} }

// Side says whom a rule binds.
type Side string

// The sides.
const (
	Server Side = "server" // the control plane
	Agent  Side = "agent"
)

// Sides returns both sides.
func Sides() []Side { return []Side{Server, Agent} }

// Evidence is the least that it takes to judge a rule. What each means to a reader is
// told by [Catalogue.Evidence].
type Evidence string

// The classes of evidence, the cheapest first. A rule of the class [Internal] is held by
// tests of each implementation's own repository, and by no check of the suite.
const (
	Wire     Evidence = "wire"
	Fixture  Evidence = "fixture"
	Fault    Evidence = "fault"
	Process  Evidence = "process"
	Internal Evidence = "internal"
)

// Evidences returns every class of evidence, in the order of the constants.
func Evidences() []Evidence { return []Evidence{Wire, Fixture, Fault, Process, Internal} }

// Rule is one rule of the protocol. Those that a catalogue returns share their slices
// with it: they are for reading.
type Rule struct {
	// ID is the family and a number, such as STATE-4. It keeps its meaning for ever.
	ID    string `json:"id"`
	Level Level  `json:"level"`
	Side  Side   `json:"side"`
	// RPCs are the methods it concerns, in the order of the protos; at least one.
	RPCs      []RPC    `json:"rpcs"`
	Statement string   `json:"statement"`
	Rationale string   `json:"rationale"`
	Evidence  Evidence `json:"evidence"`
	// Since is the edition of the catalogue that brought the rule, from 1.
	Since int `json:"since"`
	// Needs are the optional abilities without all of which the rule binds nobody; none:
	// it binds everybody.
	Needs []string `json:"needs,omitempty"`
	// Options are those of leoflow.policy.v1 that say the same in the protos, such as
	// MethodPolicy.scope.
	Options []string `json:"options,omitempty"`
	// Tests are the tests of this repository that hold a rule of the class Internal, and
	// of no other: the package, a colon, and the name of the test.
	Tests []string `json:"tests,omitempty"`
}

// Family is the rule's family: STATE of STATE-4, A-RUN of A-RUN-2.
func (r Rule) Family() string { return r.ID[:strings.LastIndexByte(r.ID, '-')] }

// Concerns reports whether the rule is about a method.
func (r Rule) Concerns(rpc RPC) bool { return slices.Contains(r.RPCs, rpc) }

// Scope is the rule's methods as people say them: "every RPC", "every RPC of
// AgentService", or the names of the methods.
func (r Rule) Scope() string {
	if len(r.RPCs) == len(RPCs()) {
		return "every RPC"
	}
	var words []string
	for _, service := range services() {
		of := rpcsOf(service)
		in := slices.DeleteFunc(slices.Clone(r.RPCs), func(rpc RPC) bool { return !slices.Contains(of, rpc) })
		if len(in) == len(of) {
			words = append(words, "every RPC of "+string(service.Name()))
			continue
		}
		for _, rpc := range in {
			words = append(words, rpc.String())
		}
	}
	return strings.Join(words, ", ")
}

// Family is a group of rules about one thing.
type Family struct {
	ID    string `yaml:"id"`    // such as STATE
	Title string `yaml:"title"` // a few words
}

// Term is a word of the catalogue and what it means there.
type Term struct {
	ID      string `yaml:"id"`
	Meaning string `yaml:"meaning"`
}

// Filter chooses rules. What is left empty chooses none away.
type Filter struct {
	Family   string
	Level    Level
	Side     Side
	RPC      RPC // rules that concern it
	Evidence Evidence
}

func (f Filter) takes(r Rule) bool {
	return (f.Family == "" || f.Family == r.Family()) &&
		(f.Level == "" || f.Level == r.Level) &&
		(f.Side == "" || f.Side == r.Side) &&
		(f.RPC == "" || r.Concerns(f.RPC)) &&
		(f.Evidence == "" || f.Evidence == r.Evidence)
}

// Catalogue is the rules of one edition, in order. It does not change, and is safe for
// concurrent use.
type Catalogue struct {
	edition   int
	words     []Term
	evidence  []Term
	abilities []Term
	families  []Family
	rules     []Rule
}

// Edition is the number of the newest edition in it, from 1.
func (c *Catalogue) Edition() int { return c.edition }

// Words are the terms that statements use in a sense of their own.
func (c *Catalogue) Words() []Term { return slices.Clone(c.words) }

// Evidence tells what each class of evidence means.
func (c *Catalogue) Evidence() []Term { return slices.Clone(c.evidence) }

// Abilities tells what each optional ability means.
func (c *Catalogue) Abilities() []Term { return slices.Clone(c.abilities) }

// Families are the families, in order.
func (c *Catalogue) Families() []Family { return slices.Clone(c.families) }

// Rules returns the rules that a filter chooses, in order; with the zero filter, all.
func (c *Catalogue) Rules(f Filter) []Rule {
	out := []Rule{}
	for _, r := range c.rules {
		if f.takes(r) {
			out = append(out, r)
		}
	}
	return out
}

// Rule returns the rule of an id. The error names what there is instead.
func (c *Catalogue) Rule(id string) (Rule, error) {
	for _, r := range c.rules {
		if r.ID == id {
			return r, nil
		}
	}
	if cut := strings.LastIndexByte(id, '-'); cut > 0 {
		if of := c.Rules(Filter{Family: id[:cut]}); len(of) > 0 {
			return Rule{}, fmt.Errorf("there is no rule %q: the family goes from %s to %s", id, of[0].ID, of[len(of)-1].ID)
		}
	}
	return Rule{}, fmt.Errorf("there is no rule %q: the families are %s", id, c.familyNames())
}

// Family returns the family of an id. The error names what there is instead.
func (c *Catalogue) Family(id string) (Family, error) {
	for _, f := range c.families {
		if f.ID == id {
			return f, nil
		}
	}
	return Family{}, fmt.Errorf("there is no family %q: the families are %s", id, c.familyNames())
}

func (c *Catalogue) familyNames() string {
	names := make([]string, len(c.families))
	for i, f := range c.families {
		names[i] = f.ID
	}
	return strings.Join(names, ", ")
}
