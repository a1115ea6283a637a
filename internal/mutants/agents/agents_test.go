package agents

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// quick is the scale at which a check that waits in vain does not wait for long.
const quick = 0.1

// program is the command mutantagent, built once.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // mutants wait far more than they work
		panic(err)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leoflow-mutants-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if program, err = Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// judge runs checks against a mutant.
func judge(t *testing.T, name string, scale float64, only ...string) *suite.Results {
	t.Helper()
	results, err := Judge(t.Context(), program, name, suite.Options{Parallel: 4, TimeScale: scale, Only: only})
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func tell(t *testing.T, c *suite.Result) {
	t.Helper()
	t.Logf("%s is %s: %s", c.Check, c.Status, c.Reason)
	for _, e := range c.Evidence {
		t.Logf("    %8v %s sent %s received %s %s %s", e.At.Round(1e6), e.What, e.Sent, e.Received, e.Code, e.Error)
	}
}

func TestEachMutantIsFoundByItsCheck(t *testing.T) {
	for _, m := range All() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			scale := 1.0
			if m.Slow {
				scale = quick
			}
			killer := judge(t, m.Name, scale, m.Kills).Check(m.Kills)
			if killer.Status != suite.Failed {
				tell(t, killer)
				t.Errorf("%s: %s did not find it", m.Fault, m.Kills)
			}
		})
	}
}

func checks(t *testing.T) []suite.Check {
	t.Helper()
	target, err := agentsuite.NewTarget(program)
	if err != nil {
		t.Fatal(err)
	}
	return agentsuite.Checks(target)
}

func TestARelayWithoutAFaultPasses(t *testing.T) {
	only := slices.Clone(sentinels)
	for _, m := range All() {
		if m.Kills != "A-BEAT-1/default" && m.Kills != "A-RUN-3/kill" && m.Kills != "A-RUN-3/group" { // take real time
			only = append(only, m.Kills)
		}
	}
	results := judge(t, "none", 1, only...)
	for i, c := range results.Checks {
		if c.Status != suite.Passed {
			tell(t, &results.Checks[i])
			t.Errorf("%s found a fault where there is none", c.Check)
		}
	}
}

func TestEveryMustOfAnAgentHasAMutant(t *testing.T) {
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	all := checks(t)
	names := map[string]bool{}
	for _, m := range All() {
		if names[m.Name] || m.Fault == "" {
			t.Errorf("%s: its name is not its own, or it has no fault", m.Name)
		}
		names[m.Name] = true
		for _, id := range append(slices.Collect(maps.Keys(m.Also)), m.Kills) {
			if !slices.ContainsFunc(all, func(c suite.Check) bool { return c.ID == id }) {
				t.Errorf("%s: there is no check %s", m.Name, id)
			}
		}
	}
	for _, r := range rules.Rules(catalogue.Filter{Side: catalogue.Agent, Level: catalogue.Must}) {
		if !slices.ContainsFunc(All(), func(m Mutant) bool { return strings.HasPrefix(m.Kills, r.ID+"/") }) {
			t.Errorf("no mutant breaks %s: %s", r.ID, r.Statement)
		}
	}
}
