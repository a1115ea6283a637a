package agents

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// sentinels are checks of other things, which a mutant must pass.
var sentinels = []string{
	"A-START-1/every-rpc", "A-START-3/operator", "A-ENV-1/environment", "A-ENV-2/fan-in", "A-RUN-1/after",
	"A-RUN-2/code", "A-RUN-4/before", "A-LOG-1/last",
}

// mostAlso is how many checks may find a fault beside the one that it is for.
const mostAlso = 7

// full has every check try each mutant: it takes some minutes.
var full = flag.Bool("full", false, "judge each mutant by every check, not by its own and the sentinels")

// outage is how long a restart takes, to judge mutants.
const outage = 5 * time.Second

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
	program = filepath.Join(dir, "mutantagent")
	build := exec.Command("go", "build", "-race=false", "-o", program, "./mutantagent")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// judge runs checks against a mutant.
func judge(t *testing.T, name string, scale float64, only ...string) *suite.Results {
	t.Helper()
	target, err := agentsuite.NewTarget(program, name)
	if err != nil {
		t.Fatal(err)
	}
	target.Outage = outage
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	results, err := suite.Run(t.Context(), agentsuite.Checks(target), suite.Options{
		Rules: rules, Side: catalogue.Agent, Parallel: 4, TimeScale: scale, Only: only,
	})
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
			spared := slices.DeleteFunc(slices.Clone(sentinels), func(id string) bool {
				return id == m.Kills || m.Also[id] != ""
			})
			if *full {
				spared = slices.DeleteFunc(everything(t), func(id string) bool { return id == m.Kills || m.Also[id] != "" })
			}
			others := judge(t, m.Name, 1, spared...)
			for i, c := range others.Checks {
				if c.Status != suite.Passed {
					tell(t, &others.Checks[i])
					t.Errorf("%s: %s found it, too", m.Fault, c.Check)
				}
			}
		})
	}
}

// everything is the ids of all checks.
func everything(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, c := range checks(t) {
		ids = append(ids, c.ID)
	}
	return ids
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
		if names[m.Name] || m.Fault == "" || len(m.Also) > mostAlso {
			t.Errorf("%s: its name is not its own, it has no fault, or too many checks find it", m.Name)
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
