package mutants

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/credentials/insecure"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// TestEveryMutantIsFoundByItsCheck runs each mutant's named check against it.
func TestEveryMutantIsFoundByItsCheck(t *testing.T) {
	b := newBench(t, true)
	for i, m := range Servers() {
		if partly && i%10 != 0 {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			r, err := b.JudgeMutant(t.Context(), m, suite.Options{Seed: 1, Only: []string{m.Check}, TimeScale: patience})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Checks) != 1 || r.Checks[0].Status != suite.Failed {
				t.Fatalf("%s: %+v", m.Check, r.Checks)
			}
			t.Logf("%s: %s", m.Check, r.Checks[0].Reason)
		})
	}
}

// TestAuth8NoReasonQuotesARenewedToken has a token renewed that should not be, and reads
// what is told of it.
func TestAuth8NoReasonQuotesARenewedToken(t *testing.T) {
	b := newBench(t, true)
	for _, m := range Servers() {
		if m.Check != "TOKEN-1/finished" {
			continue
		}
		r, err := b.JudgeMutant(t.Context(), m, suite.Options{Seed: 1, Only: []string{m.Check}, TimeScale: patience})
		if err != nil {
			t.Fatal(err)
		}
		if reason := r.Checks[0].Reason; strings.Contains(reason, "eyJ") || !strings.Contains(reason, "renewed_token:") {
			t.Errorf("the reason is %q", reason)
		}
	}
}

// TestAFaithfulProxyPasses holds that a mutant breaks nothing but what it is made to
// break.
func TestAFaithfulProxyPasses(t *testing.T) {
	b := newBench(t, true)
	addr, stop, err := new(server).serve(t.Context(), b.conn, b.fixture)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	conn := dial(t, addr, insecure.NewCredentials())
	b.fixture = conn
	tell(t, b.judge(t, conn, suite.Options{Seed: 2, TimeScale: 3, Only: oneOfEachRule()}), suite.Failed, suite.Broken)
}

// TestEveryMustThatIsCheckedHasAMutant holds that no check of what must be kept is one
// that cannot fail.
func TestEveryMustThatIsCheckedHasAMutant(t *testing.T) {
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	mutated := map[string]bool{}
	names := map[string]bool{}
	for _, m := range Servers() {
		if names[m.Name] || !strings.HasPrefix(m.Check, m.Rule+"/") {
			t.Errorf("%q: there is another of this name, or %s is no check of %s", m.Name, m.Check, m.Rule)
		}
		names[m.Name], mutated[m.Rule] = true, true
	}
	var checked []string
	for _, c := range checks() {
		checked = append(checked, c.Rule)
	}
	for _, rule := range rules.Rules(catalogue.Filter{Side: catalogue.Server, Level: catalogue.Must}) {
		if slices.Contains(checked, rule.ID) && !mutated[rule.ID] {
			t.Errorf("%s is checked, and no mutant breaks it", rule.ID)
		}
	}
}
