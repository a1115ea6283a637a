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
