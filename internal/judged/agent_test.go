package judged

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/suite"
)

func TestOurAgentPassesEveryCheck(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "leoflow-agent")
	build := exec.Command("go", "build", "-race=false", "-o", program, "github.com/neochaotic/leoflow/cmd/leoflow-agent")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := conformance.Options{TimeScale: slowly}
	if partly {
		o.Rules = []string{"A-START", "A-RUN-1"}
	}
	r := conformance.RunAgent(t, conformance.Agent{Command: []string{program}}, o)
	if passed := r.Count(suite.Passed); passed != len(r.Checks) || len(r.Unchecked) > 0 {
		t.Errorf("%d of %d checks passed; rules without a check: %v", passed, len(r.Checks), r.Unchecked)
	}
}
