package agents

import (
	"testing"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// TestAnAgentOfAnotherMakePasses holds that no check takes our choices for rules.
func TestAnAgentOfAnotherMakePasses(t *testing.T) {
	target, err := agentsuite.NewTarget(program, Other)
	if err != nil {
		t.Fatal(err)
	}
	target.Lacks, target.Outage = otherLacks, Outage
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	results, err := suite.Run(t.Context(), agentsuite.Checks(target), suite.Options{
		Rules: rules, Side: catalogue.Agent, Parallel: agentsuite.Parallel, TimeScale: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range results.Checks {
		want := suite.Passed
		if c.Rule == "A-BEAT-3" {
			want = suite.Skipped
		}
		if c.Status != want {
			tell(t, &results.Checks[i])
			t.Errorf("%s is %s, want %s", c.Check, c.Status, want)
		}
	}
}
