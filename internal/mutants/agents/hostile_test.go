package agents

import (
	"testing"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// TestWhoRunsNothingPassesNothing has programs that are no agents at all.
func TestWhoRunsNothingPassesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		command []string
		scale   float64 // of one that hangs, every check waits in vain
	}{
		"ends well":      {[]string{"true"}, 0.3},
		"ends badly":     {[]string{"false"}, 0.3},
		"crashes":        {[]string{"sh", "-c", "kill -KILL $$"}, 0.3},
		"hangs":          {[]string{"sleep", "600"}, 0.03},
		"talks of other": {[]string{"echo", "hello"}, 0.3},
		"lies":           {[]string{program, Liar}, 0.1},
		"denies":         {[]string{program, Denier}, 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, err := agentsuite.NewTarget(tc.command...)
			if err != nil {
				t.Fatal(err)
			}
			rules, err := conformance.Load()
			if err != nil {
				t.Fatal(err)
			}
			results, err := suite.Run(t.Context(), agentsuite.Checks(target), suite.Options{
				Rules: rules, Side: catalogue.Agent, Parallel: 2 * agentsuite.Parallel, TimeScale: tc.scale,
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range results.Checks {
				if c.Status != suite.Failed {
					tell(t, &results.Checks[i])
					t.Errorf("%s is %s", c.Check, c.Status)
				}
			}
		})
	}
}
