package catalogue

import (
	"slices"
	"testing"
)

// unheld are the rules that must be kept and that no test is named after, each with the
// reason. One that a test holds by now, or that the catalogue lacks, must go.
var unheld = map[string]string{}

// held returns the tests of the repository that are named after each rule.
func held(t *testing.T, c *Catalogue) map[string][]testName {
	t.Helper()
	families := familySet(c)
	out := map[string][]testName{}
	for _, name := range testNames(t) {
		for _, id := range name.ids(families) {
			if _, err := c.Rule(id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			out[id] = append(out[id], name)
		}
	}
	return out
}

func TestEveryMustIsHeldByATestThatIsNamedAfterIt(t *testing.T) {
	c := load(t)
	by := held(t, c)
	for _, r := range c.Rules(Filter{Level: Must}) {
		reason, listed := unheld[r.ID]
		switch isHeld := len(by[r.ID]) > 0; {
		case !isHeld && !listed:
			t.Errorf("no test is named after %s (%s): %s", r.ID, r.Side, r.Statement)
		case isHeld && listed:
			t.Errorf("%s is held by %v: take it off the list of those that are not", r.ID, by[r.ID])
		case listed && reason == "":
			t.Errorf("%s is listed as not held, without a reason", r.ID)
		}
	}
	for id := range unheld {
		if r, err := c.Rule(id); err != nil || r.Level != Must {
			t.Errorf("%s is listed as not held and is no rule that must be kept", id)
		}
	}
}

func TestTheTestsThatInternalRulesNameAreThere(t *testing.T) {
	c := load(t)
	families := familySet(c)
	names := testNames(t)
	for _, r := range c.Rules(Filter{Evidence: Internal}) {
		for _, test := range r.Tests {
			i := slices.IndexFunc(names, func(n testName) bool { return n.String() == test })
			if i < 0 {
				t.Errorf("%s: there is no test %s", r.ID, test)
			} else if !slices.Contains(names[i].ids(families), r.ID) {
				t.Errorf("%s: the test %s is not named after it", r.ID, test)
			}
		}
	}
}
