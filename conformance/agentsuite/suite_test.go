package agentsuite

import (
	"testing"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

func TestEveryRuleOfAnAgentHasACheck(t *testing.T) {
	of := target(t, program)
	of.Full = true // it has all the others, too
	rules, checks := load(t), Checks(of)
	if err := suite.Validate(rules, checks); err != nil {
		t.Error(err)
	}
	for _, r := range suite.Unchecked(rules, catalogue.Agent, checks) {
		t.Errorf("no check judges %s", r.ID)
	}
	for _, c := range checks {
		if r, err := rules.Rule(c.Rule); err != nil || r.Side != catalogue.Agent {
			t.Errorf("%s is of no rule of agents", c.ID)
		}
	}
}

func TestOurAgentPassesEverything(t *testing.T) {
	results := judge(t, target(t, program), suite.Options{})
	if n := results.Count(suite.Passed); n != len(results.Checks) {
		t.Errorf("%d of %d checks passed", n, len(results.Checks))
	}
	tell(t, results)
	t.Logf("%d rules, %d checks, %d cells in %v", results.Rules(), len(results.Checks), results.Cells(), results.Took.Round(1e8))
	for _, c := range results.Checks {
		t.Logf("%8v %s", c.Took.Round(1e6), c.Check)
	}
}
