package judged

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/fixtures"
	"github.com/neochaotic/leoflow/conformance/serversuite"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// fromFile is a server whose fixtures are in a file, as that may be changed before.
func fromFile(t *testing.T, s conformance.Server, groups int, change func(*conformancev1.StaticFixtures)) conformance.Server {
	t.Helper()
	file, err := serversuite.PrepareStatic(t.Context(), s.Fixtures, "static", groups)
	if err != nil {
		t.Fatal(err)
	}
	change(file)
	data, err := protojson.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fixtures.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if s.Fixtures, err = fixtures.ReadStatic(path, s.Conn); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOurServerPassesWhatAFileLetsBeTested is of the rules that have few checks each;
// `make judge-file` is of all of them.
func TestOurServerPassesWhatAFileLetsBeTested(t *testing.T) {
	rules := []string{"REG", "SPEC", "STATE", "BEAT", "TOKEN", "XCOM", "LOG", "SECRET", "ISO-5"}
	if partly {
		rules = []string{"REG", "SPEC"}
	}
	s := fromFile(t, bench(t, true, ""), map[bool]int{true: 20, false: 200}[partly], func(*conformancev1.StaticFixtures) {})
	r := conformance.RunServer(t, s, conformance.Options{TimeScale: slowly, Rules: rules})
	for _, c := range r.Checks {
		if strings.Contains(c.Reason, "used up") {
			t.Errorf("%s: %s", c.Check, c.Reason)
		}
	}
	if passed := r.Count(suite.Passed); passed < len(r.Checks)*2/3 {
		t.Errorf("%d of %d checks passed", passed, len(r.Checks))
	}
}

// TestWithoutAnOperatorAFileLetsLessBeTested is what a server without ControlService has.
func TestWithoutAnOperatorAFileLetsLessBeTested(t *testing.T) {
	s := fromFile(t, bench(t, true, ""), 60, func(file *conformancev1.StaticFixtures) {
		for _, g := range file.GetGroups() {
			for _, run := range []*conformancev1.StaticRun{g.GetRun(), g.GetTwin(), g.GetSibling()} {
				run.OperatorToken, run.ViewerToken = "", ""
			}
		}
	})
	r := conformance.RunServer(t, s, conformance.Options{TimeScale: slowly, Rules: []string{"REG", "SPEC", "XCOM"}})
	for rule, want := range map[string]suite.Status{"SPEC-1": suite.Passed, "XCOM-4": suite.Passed, "REG-2": suite.Untestable} {
		found := false
		for _, c := range r.Checks {
			found = found || c.Rule == rule && c.Status == want
		}
		if !found {
			t.Errorf("no check of %s is %s", rule, want)
		}
	}
}
