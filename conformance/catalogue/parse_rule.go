package catalogue

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	idForm   = regexp.MustCompile(`^((?:A-)?[A-Z]+)-([1-9][0-9]*)$`)
	testForm = regexp.MustCompile(`^[a-z][a-z0-9/_-]*:(Test|Fuzz)[A-Z]\w*$`)
)

// rules reads the rules. The ids decide their order: families as they are listed, and
// numbers within a family.
func (r *reader) rules() {
	if len(r.doc.Rules) == 0 {
		r.fault([]any{"rules"}, "there are no rules")
	}
	first := map[string]int{}
	lastFamily, lastNumber := -1, 0
	for i, e := range r.doc.Rules {
		path := []any{"rules", i}
		id := idForm.FindStringSubmatch(e.ID)
		if id == nil {
			r.fault(append(path, "id"), "the id %q is not FAMILY-N, with N from 1", e.ID)
			continue
		}
		if before, ok := first[e.ID]; ok {
			r.fault(append(path, "id"), "%s is there twice, first in line %d", e.ID, line(r.root, []any{"rules", before, "id"}))
			continue
		}
		first[e.ID] = i
		family := slices.IndexFunc(r.doc.Families, func(f Family) bool { return f.ID == id[1] })
		number, err := strconv.Atoi(id[2])
		switch {
		case family < 0 || err != nil:
			r.fault(append(path, "id"), "%s is of no family that `families` lists", e.ID)
			continue
		case family < lastFamily || family == lastFamily && number < lastNumber:
			r.fault(append(path, "id"), "%s stands after %s: order by family and number", e.ID, r.doc.Rules[i-1].ID)
		}
		lastFamily, lastNumber = family, number
		r.out.rules = append(r.out.rules, r.rule(path, e))
	}
}

// rule reads one rule, whose id is right.
func (r *reader) rule(path []any, e entry) Rule {
	at := func(key string) []any { return append(slices.Clone(path), key) }
	oneOf(r, at("level"), e.ID, "level", e.Level, Levels())
	oneOf(r, at("side"), e.ID, "side", e.Side, Sides())
	oneOf(r, at("evidence"), e.ID, "evidence", e.Evidence, Evidences())
	if byName := strings.HasPrefix(e.ID, "A-"); byName != (e.Side == Agent) && slices.Contains(Sides(), e.Side) {
		r.fault(at("side"), "%s: ids of agents' rules, and no others, begin with A-; its side is %s", e.ID, e.Side)
	}
	if e.Since < 1 || e.Since > r.doc.Edition {
		r.fault(at("since"), "%s: since is %d, and the editions are 1 to %d", e.ID, e.Since, r.doc.Edition)
	}
	if strings.TrimSpace(e.Statement) == "" {
		r.fault(at("statement"), "%s has no statement", e.ID)
	}
	if strings.TrimSpace(e.Rationale) == "" {
		r.fault(at("rationale"), "%s has no rationale", e.ID)
	}
	eachOf(r, at("needs"), e.ID, "ability", e.Needs, idsOf(r.doc.Abilities))
	eachOf(r, at("options"), e.ID, "option", e.Options, options())
	r.checkTests(at("tests"), e)
	return Rule{
		ID: e.ID, Level: e.Level, Side: e.Side, RPCs: r.rpcs(at("rpcs"), e), Evidence: e.Evidence, Since: e.Since,
		Needs: e.Needs, Options: e.Options, Tests: e.Tests,
		Statement: strings.TrimSpace(e.Statement), Rationale: strings.TrimSpace(e.Rationale),
	}
}

func (r *reader) rpcs(path []any, e entry) []RPC {
	if len(e.RPCs) == 0 {
		r.fault(path, "%s names no rpcs: list methods, or say `all`", e.ID)
	}
	named := map[RPC]bool{}
	for i, word := range e.RPCs {
		in := scope(word)
		if in == nil {
			r.fault(append(path, i), "%s: %q is no RPC: write Service/Method, a service, or `all`", e.ID, word)
		}
		for _, rpc := range in {
			if named[rpc] {
				r.fault(append(path, i), "%s names %s twice", e.ID, rpc)
			}
			named[rpc] = true
		}
	}
	var out []RPC
	for _, rpc := range RPCs() {
		if named[rpc] {
			out = append(out, rpc)
		}
	}
	return out
}

func (r *reader) checkTests(path []any, e entry) {
	if (len(e.Tests) > 0) != (e.Evidence == Internal) {
		r.fault(path, "%s: rules with the evidence internal, and no others, name the tests that hold them", e.ID)
	}
	for i, test := range e.Tests {
		if !testForm.MatchString(test) {
			r.fault(append(path, i), "%s: the test %q is not package:TestName", e.ID, test)
		}
		if slices.Contains(e.Tests[:i], test) {
			r.fault(append(path, i), "%s names the test %q twice", e.ID, test)
		}
	}
}

func oneOf[T ~string](r *reader, path []any, id, what string, got T, known []T) {
	if !slices.Contains(known, got) {
		r.fault(path, "%s: the %s %q is none of %s", id, what, string(got), strings.Join(textsOf(known), ", "))
	}
}

func eachOf(r *reader, path []any, id, what string, got, known []string) {
	for i, word := range got {
		at := append(slices.Clone(path), i)
		if !slices.Contains(known, word) {
			r.fault(at, "%s: there is no %s %q", id, what, word)
		}
		if slices.Contains(got[:i], word) {
			r.fault(at, "%s names the %s %q twice", id, what, word)
		}
	}
}
