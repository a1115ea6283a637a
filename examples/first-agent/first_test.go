package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// TestTheGuideSaysWhatIsSo holds what docs/conformance.md shows of this agent.
func TestTheGuideSaysWhatIsSo(t *testing.T) {
	program := filepath.Join(t.TempDir(), "first-agent")
	if out, err := exec.Command("go", "build", "-race=false", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	target, err := agentsuite.NewTarget(program)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	r, err := suite.Run(t.Context(), agentsuite.Checks(target), suite.Options{
		Rules: rules, Side: catalogue.Agent, Only: []string{"A-START-2", "A-RUN-1/before"}, Parallel: 3, TimeScale: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Count(suite.Passed); n != 2 {
		t.Errorf("%d checks passed, want the two of A-START-2", n)
	}
	before := r.Check("A-RUN-1/before")
	const why = "the first report is TASK_STATE_SUCCESS, want RUNNING"
	if before.Status != suite.Failed || !strings.Contains(before.Reason, why) {
		t.Errorf("A-RUN-1/before is %s: %s; want it failed: %s", before.Status, before.Reason, why)
	}
}
