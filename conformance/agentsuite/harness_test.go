package agentsuite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// program is our own agent, built once.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leoflow-agentsuite-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "leoflow-agent")
	build := exec.Command("go", "build", "-race=false", "-o", program, "github.com/neochaotic/leoflow/cmd/leoflow-agent")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func target(t *testing.T, command ...string) *Target {
	t.Helper()
	out, err := NewTarget(command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func load(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	rules, err := catalogue.ReadFile("../rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// judge runs checks of a target.
func judge(t *testing.T, of *Target, o suite.Options) *suite.Results {
	t.Helper()
	o.Rules, o.Side = load(t), catalogue.Agent
	if o.Parallel == 0 {
		o.Parallel = Parallel
	}
	results, err := suite.Run(t.Context(), Checks(of), o)
	if err != nil {
		t.Fatal(err)
	}
	return results
}
