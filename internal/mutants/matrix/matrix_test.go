package matrix

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// side is one of two rules that must be kept, with a check each, one that should be, and
// sentinels; and of judges that find a mutant by what its name says.
func side(t *testing.T, mutants ...Mutant) *Side {
	t.Helper()
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := &Side{Side: catalogue.Server, Rules: rules, Mutants: mutants, AtOnce: 2}
	for _, id := range []string{"STATE-4/one", "STATE-5/one", "SPEC-2/one"} {
		rule, _, _ := strings.Cut(id, "/")
		s.Checks = append(s.Checks, suite.Check{ID: id, Rule: rule})
	}
	for i := range sentinels {
		id := "XCOM-1/" + strings.Repeat("x", i+1)
		s.Checks = append(s.Checks, suite.Check{ID: id, Rule: "XCOM-1"})
		s.Sentinels = append(s.Sentinels, id)
	}
	s.Open = func(context.Context) (Judge, func() error, error) {
		return func(_ context.Context, m Mutant, checks []string) (*suite.Results, error) {
			out := &suite.Results{}
			for _, id := range checks {
				status := suite.Passed
				if strings.Contains(m.Name, id) {
					status = suite.Failed
				}
				out.Checks = append(out.Checks, suite.Result{Check: id, Status: status, Reason: "it is so"})
			}
			return out, nil
		}, func() error { return nil }, nil
	}
	return s
}

// good are mutants of whom there is nothing to say; XCOM-1 is found as a whole.
func good() []Mutant {
	all := []string{}
	for i := range sentinels {
		all = append(all, "XCOM-1/"+strings.Repeat("x", i+1))
	}
	return []Mutant{
		{Name: "STATE-4/one and SPEC-2/one", Check: "STATE-4/one", Also: Because("it looks there, too", "SPEC-2/one")},
		{Name: "STATE-5/one", Check: "STATE-5/one"},
		{Name: strings.Join(all, " "), Check: "XCOM-1/x", Broad: "all is asked for", Also: Because("it is broad", all[1:]...)},
	}
}

func faults(t *testing.T, s *Side, o Options) []string {
	t.Helper()
	report, err := s.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report.Faults
}

func TestMutantsThatAreFoundAsListedAreWell(t *testing.T) {
	for _, full := range []bool{false, true} {
		report, err := side(t, good()...).Run(t.Context(), Options{Full: full})
		if err != nil {
			t.Fatal(err)
		}
		if len(without(report.Faults, "is checked, and no mutant")) > 0 || report.Kills != 3 || report.Mutants != 3 || report.Controls != 3 || report.Unsteady != 0 {
			t.Errorf("full %v: %s\n%s", full, report.Summary(), strings.Join(report.Faults, "\n"))
		}
	}
}

// without leaves out the faults of rules that this test has no mutants for.
func without(faults []string, what string) []string {
	return slices.DeleteFunc(slices.Clone(faults), func(f string) bool { return strings.Contains(f, what) })
}

func TestWhatIsNotAsListedIsAFault(t *testing.T) {
	for want, m := range map[string]Mutant{
		"STATE-4/one, which is named for it, did not find it: it is passed": {Name: "nothing", Check: "STATE-4/one"},
		"SPEC-2/one is listed, and did not find it: it is passed":           {Name: "STATE-4/one", Check: "STATE-4/one", Also: Because("of old", "SPEC-2/one")},
		"SPEC-2/one found it, too: it is so":                                {Name: "STATE-4/one SPEC-2/one", Check: "STATE-4/one"},
		"there is no check STATE-4/two":                                     {Name: "STATE-4/one", Check: "STATE-4/one", Also: Because("who knows", "STATE-4/two")},
		"it is not said why SPEC-2/one finds it":                            {Name: "STATE-4/one SPEC-2/one", Check: "STATE-4/one", Also: Because(" ", "SPEC-2/one")},
		"over 5: make it break less": {
			Name: "STATE-4/one", Check: "STATE-4/one",
			Also: Because("much", "XCOM-1/x", "XCOM-1/xx", "XCOM-1/xxx", "XCOM-1/xxxx", "XCOM-1/xxxxx", "SPEC-2/one"),
		},
		"has no name, or that of another": {Name: "STATE-5/one", Check: "STATE-5/one"},
	} {
		s := side(t, append(good(), m)...)
		if got := faults(t, s, Options{Full: true}); !slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("no fault says %q: %s", want, strings.Join(got, "\n"))
		}
	}
}

func TestASentinelThatFindsAMutantIsAFault(t *testing.T) {
	s := side(t, Mutant{Name: "STATE-4/one XCOM-1/xx", Check: "STATE-4/one", Broad: "so broad"})
	got := faults(t, s, Options{})
	if !slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, "XCOM-1/xx found it, too") }) {
		t.Error(got)
	}
	if got := faults(t, side(t, Mutant{Name: "STATE-4/one SPEC-2/one", Check: "STATE-4/one"}), Options{}); len(without(got, "no mutant is named")) > 0 {
		t.Errorf("of a check that did not run: %v", got)
	}
}

func TestEveryCheckOfWhatMustBeKeptFindsAMutantOrIsListed(t *testing.T) {
	s := side(t, good()[0], good()[2])
	got := strings.Join(faults(t, s, Options{Full: true}), "\n")
	if !strings.Contains(got, "STATE-5/one is of what must be kept, and finds no mutant") {
		t.Error(got)
	}
	s.Unfound = map[string]string{"STATE-5/one": "it cannot be broken", "STATE-4/one": "of old"}
	got = strings.Join(faults(t, s, Options{Full: true}), "\n")
	if strings.Contains(got, "STATE-5/one is of what") || !strings.Contains(got, "STATE-4/one is listed as one that finds no mutant, and finds one") {
		t.Error(got)
	}
}

func TestAControlThatFailsIsAFault(t *testing.T) {
	s := side(t, good()...)
	open := s.Open
	s.Open = func(ctx context.Context) (Judge, func() error, error) {
		judge, closed, err := open(ctx)
		return func(ctx context.Context, m Mutant, checks []string) (*suite.Results, error) {
			if m.Name == "" {
				m.Name = "STATE-4/one"
			}
			return judge(ctx, m, checks)
		}, closed, err
	}
	got := strings.Join(faults(t, s, Options{}), "\n")
	if !strings.Contains(got, "without a fault STATE-4/one is failed") || !strings.Contains(got, "STATE-4/one, which is named for it, did not find it") {
		t.Error(got)
	}
}

func TestWhatEndsOtherwiseTheSecondTimeIsUnsteady(t *testing.T) {
	s := side(t, good()...)
	open, tries := s.Open, 0
	s.AtOnce = 1
	s.Open = func(ctx context.Context) (Judge, func() error, error) {
		judge, closed, err := open(ctx)
		return func(ctx context.Context, m Mutant, checks []string) (*suite.Results, error) {
			if m.Name == "STATE-5/one" {
				if tries++; tries == 1 {
					m.Name = "nothing"
				}
			}
			return judge(ctx, m, checks)
		}, closed, err
	}
	report, err := s.Run(t.Context(), Options{})
	if err != nil || report.Unsteady != 1 || report.Kills != 3 {
		t.Errorf("%v, %s", err, report.Summary())
	}
}

func TestTheTableIsReadAsItWasWritten(t *testing.T) {
	report, err := side(t, good()...).Run(t.Context(), Options{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "matrix.tsv")
	if err := report.Table.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTable(path)
	if err != nil || cmp.Diff(report.Table, got) != "" {
		t.Error(err, cmp.Diff(report.Table, got))
	}
	if stale := got.Stale(side(t, good()...)); len(stale) > 0 {
		t.Errorf("it is stale at once: %v", stale)
	}
}

func TestATableOfOtherMutantsOrChecksIsStale(t *testing.T) {
	report, err := side(t, good()...).Run(t.Context(), Options{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Side){
		`does not say that STATE-5/one finds "new"`: func(s *Side) {
			s.Mutants = append(s.Mutants, Mutant{Name: "new", Check: "STATE-5/one"})
		},
		"it has a mutant that is no more: STATE-5/one": func(s *Side) { s.Mutants = slices.Delete(s.Mutants, 1, 2) },
		"it lacks the check SPEC-2/two":                func(s *Side) { s.Checks = append(s.Checks, suite.Check{ID: "SPEC-2/two", Rule: "SPEC-2"}) },
		"it has a check that is no more: SPEC-2/one":   func(s *Side) { s.Checks = slices.Delete(s.Checks, 2, 3) },
		"and the lists do not":                         func(s *Side) { s.Mutants[0].Also = nil },
		"(for another reason)":                         func(s *Side) { s.Mutants[0].Also = Because("for another reason", "SPEC-2/one") },
	} {
		s := side(t, good()...)
		change(s)
		if got := strings.Join(report.Table.Stale(s), "\n"); !strings.Contains(got, want) {
			t.Errorf("nothing says %q: %s", want, got)
		}
	}
}

func TestWhatTheTableKnowsIsNotRunAgain(t *testing.T) {
	s := side(t, good()...)
	first, err := s.Run(t.Context(), Options{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Mutants = append(s.Mutants, Mutant{Name: "again STATE-5/one SPEC-2/two", Check: "STATE-5/one", Also: Because("it is new", "SPEC-2/two")})
	s.Checks = append(s.Checks, suite.Check{ID: "SPEC-2/two", Rule: "SPEC-2"})
	ran := map[string]int{}
	open := s.Open
	s.AtOnce = 1
	s.Open = func(ctx context.Context) (Judge, func() error, error) {
		judge, closed, err := open(ctx)
		return func(ctx context.Context, m Mutant, checks []string) (*suite.Results, error) {
			ran[m.Name] += len(checks)
			return judge(ctx, m, checks)
		}, closed, err
	}
	second, err := s.Run(t.Context(), Options{Full: true, Known: first.Table})
	if err != nil {
		t.Fatal(err)
	}
	if ran["STATE-5/one"] != 1 || ran["again STATE-5/one SPEC-2/two"] != len(s.Checks) {
		t.Errorf("ran %v", ran)
	}
	if stale := second.Table.Stale(s); len(stale) > 0 || second.Kills != 4 {
		t.Errorf("%s; %v", second.Summary(), stale)
	}
}

// TestARunThatWasEndedIsGoneOnWith: the table has what was judged until then, and only
// that.
func TestARunThatWasEndedIsGoneOnWith(t *testing.T) {
	s := side(t, good()...)
	whole, err := s.Run(t.Context(), Options{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	kept := &Table{}
	ctx, end := context.WithCancel(t.Context())
	s.AtOnce = 1
	_, err = s.Run(ctx, Options{Full: true, Done: func(v Verdict) {
		kept = kept.With(s, v)
		if v.Mutant.Name == s.Mutants[1].Name {
			end()
		}
	}})
	if err == nil {
		t.Fatal("it was not ended")
	}
	var again []string
	rest, err := s.Run(t.Context(), Options{Full: true, Known: kept, Done: func(v Verdict) {
		if v.Took > 0 {
			again = append(again, v.Mutant.Name)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Diff(whole.Table, rest.Table) != "" {
		t.Error(cmp.Diff(whole.Table, rest.Table))
	}
	if !slices.Equal(again, []string{s.Mutants[2].Name}) {
		t.Errorf("run again: %q", again)
	}
}

// TestAMutantOfWhichTheRunWasEndedIsNotJudged: the checks that were not come to say nothing.
func TestAMutantOfWhichTheRunWasEndedIsNotJudged(t *testing.T) {
	s := side(t, good()...)
	s.AtOnce = 1
	ctx, end := context.WithCancel(t.Context())
	open := s.Open
	s.Open = func(ctx context.Context) (Judge, func() error, error) {
		judge, closed, err := open(ctx)
		return func(ctx context.Context, m Mutant, checks []string) (*suite.Results, error) {
			out, err := judge(ctx, m, checks)
			if m.Name == s.Mutants[1].Name {
				end()
				for i := range out.Checks {
					out.Checks[i].Status = suite.Skipped
				}
			}
			return out, err
		}, closed, err
	}
	var judged []string
	_, err := s.Run(ctx, Options{Full: true, Done: func(v Verdict) { judged = append(judged, v.Mutant.Name) }})
	if err == nil || !slices.Equal(judged, []string{s.Mutants[0].Name}) {
		t.Errorf("judged were %q; %v", judged, err)
	}
}

// TestACheckThatCannotJudgeAMutantIsNoFaultButASentinelIs: what it would have looked at is
// not there in a system that is broken elsewhere.
func TestACheckThatCannotJudgeAMutantIsNoFaultButASentinelIs(t *testing.T) {
	s := side(t, good()...)
	open := s.Open
	s.Open = func(ctx context.Context) (Judge, func() error, error) {
		judge, closed, err := open(ctx)
		return func(ctx context.Context, m Mutant, checks []string) (*suite.Results, error) {
			out, err := judge(ctx, m, checks)
			for i, c := range out.Checks {
				if m.Name == "STATE-5/one" && (c.Check == "SPEC-2/one" || c.Check == "XCOM-1/xx") {
					out.Checks[i].Status = suite.Untestable
				}
			}
			return out, err
		}, closed, err
	}
	for full, want := range map[bool]int{false: 1, true: 0} {
		report, err := s.Run(t.Context(), Options{Full: full})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(report.Faults, func(f string) bool { return !strings.Contains(f, "is untestable") })
		if len(got) != want {
			t.Errorf("full %v: %q", full, got)
		}
	}
}
