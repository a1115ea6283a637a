package report

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

func TestEveryFormOfAReport(t *testing.T) {
	for form := range forms {
		text := written(t, form, reportOf(t, mixed()))
		golden(t, "mixed."+form, []byte(strings.Replace(text, pageStyle, "", 1)))
	}
	for _, form := range []string{"md", "svg"} {
		golden(t, "clean."+form, []byte(written(t, form, reportOf(t, clean()))))
	}
}

func TestAReportOfAChoiceSaysSo(t *testing.T) {
	r := clean()
	r.Checks = r.Checks[:2]
	o := suite.Options{Rules: load(t), Only: []string{"AUTH", "BEAT-1", "LOG-1/x"}, Level: catalogue.Must, RPC: beat}
	got := New(o, r, "s")
	want := []string{"family AUTH", "rule BEAT-1", "check LOG-1/x", "RPC AgentService/Heartbeat", "level must"}
	if fmt.Sprint(got.GetChosenBy()) != fmt.Sprint(want) || got.GetJudgeableRules() != 7 || len(got.GetRules()) != 2 {
		t.Errorf("chosen by %q, %d of %d rules", got.GetChosenBy(), len(got.GetRules()), got.GetJudgeableRules())
	}
	for form, piece := range map[string]string{"svg": "2/7 rules, 5 not run", "md": "only family AUTH", "html": "only family AUTH"} {
		if text := written(t, form, got); !strings.Contains(text, piece) {
			t.Errorf("%s lacks %q: %s", form, piece, text)
		}
	}
}

// TestTheStatusOfARuleIsThatOfItsChecks has what a rule must not be taken for.
func TestTheStatusOfARuleIsThatOfItsChecks(t *testing.T) {
	passes, fails := result("AUTH-1", "a", suite.Passed, ""), result("AUTH-1", "b", suite.Failed, "x")
	known, open := result("AUTH-1", "c", suite.KnownFailing, "x"), result("AUTH-1", "d", suite.Untestable, "x")
	notBinding, left := result("AUTH-1", "e", suite.Skipped, "x"), result("AUTH-1", "f", suite.Skipped, "x")
	left.NotRun = true
	own := result("AUTH-1", "g", suite.Broken, "x")
	for _, c := range []struct {
		checks []suite.Result
		want   conformancev1.ResultStatus
	}{
		{[]suite.Result{passes, notBinding}, passed},
		{[]suite.Result{notBinding, notBinding}, skipped},
		{[]suite.Result{passes, left}, skipped},
		{[]suite.Result{left, passes, open}, untestable},
		{[]suite.Result{open, known, passes}, knownFailing},
		{[]suite.Result{passes, fails, known, open}, failed},
		{[]suite.Result{passes, own, fails}, broken},
	} {
		got := reportOf(t, &suite.Results{Side: catalogue.Server, Checks: c.checks}).GetRules()[0].GetStatus()
		if got != c.want {
			t.Errorf("%v is of %v", got, c.checks)
		}
	}
}

func TestReadTakesWhatIsWritten(t *testing.T) {
	for _, results := range []*suite.Results{mixed(), clean(), {Side: catalogue.Agent}} {
		want := reportOf(t, results)
		got, err := Read([]byte(written(t, "json", want)))
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%v, read as %v", err, got)
		}
	}
}

func TestReadIsStrict(t *testing.T) {
	text := written(t, "json", reportOf(t, mixed()))
	for name, c := range map[string]struct{ old, bent, want string }{
		"no JSON":          {"{\n", "", "it is no report"},
		"another version":  {`"version": 1`, `"version": 2`, "of version 2"},
		"an unknown field": {`"version"`, `"colour": 1, "version"`, "colour"},
		"no side":          {`"REPORT_SIDE_SERVER"`, `"REPORT_SIDE_UNSPECIFIED"`, "whom it judges"},
		"an unknown word":  {`"RESULT_STATUS_PASSED"`, `"RESULT_STATUS_SPLENDID"`, "SPLENDID"},
		"no status":        {`"status": "RESULT_STATUS_PASSED"`, `"status": "RESULT_STATUS_UNSPECIFIED"`, "AUTH-1"},
		"a rule too good":  {`"status": "RESULT_STATUS_FAILED"`, `"status": "RESULT_STATUS_PASSED"`, "AUTH-2 is"},
		"wrong totals":     {`"untestable": 1`, `"untestable": 0`, "the totals"},
	} {
		bent := strings.Replace(text, c.old, c.bent, 1)
		if _, err := Read([]byte(bent)); bent == text || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// someResults are results of any kind.
func someResults() *rapid.Generator[*suite.Results] {
	return rapid.Custom(func(t *rapid.T) *suite.Results {
		r := &suite.Results{Side: catalogue.Server, Interrupted: rapid.Bool().Draw(t, "interrupted")}
		if rapid.Bool().Draw(t, "stale") {
			r.Stale = []string{"AUTH-1"}
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "checks") {
			c := result("AUTH-1", fmt.Sprint(i), rapid.SampledFrom(suite.Statuses()).Draw(t, "status"), "")
			c.NotRun = c.Status == suite.Skipped && rapid.Bool().Draw(t, "not run")
			r.Checks = append(r.Checks, c)
		}
		if rapid.Bool().Draw(t, "unchecked") {
			r.Unchecked = []string{"LOG-2"}
		}
		return r
	})
}

func TestJUnitHasAFailureExactlyIfTheExitCodeIsNotZero(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := someResults().Draw(rt, "results")
		var got struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
			Suites   []struct {
				Cases []struct {
					Failure *string `xml:"failure"`
					Error   *string `xml:"error"`
					Skipped *string `xml:"skipped"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal([]byte(written(t, "xml", reportOf(t, r))), &got); err != nil {
			rt.Fatal(err)
		}
		tests, failures, skips := 0, 0, 0
		for _, s := range got.Suites {
			for _, c := range s.Cases {
				tests++
				if c.Failure != nil || c.Error != nil {
					failures++
				}
				if c.Skipped != nil {
					skips++
				}
			}
		}
		if bad := got.Failures + got.Errors; bad != failures || (bad > 0) != (r.ExitCode() != 0) || got.Skipped != skips || got.Tests != tests {
			rt.Fatalf("%+v has the exit code %d", got, r.ExitCode())
		}
	})
}

func TestGreenIsOnlyWhatIsWhollyKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := clean()
		some := someResults().Draw(rt, "results")
		r.Checks, r.Stale, r.Interrupted = append(r.Checks, some.Checks...), some.Stale, some.Interrupted
		whole := r.ExitCode() == 0
		for _, c := range some.Checks {
			whole = whole && (c.Status == suite.Passed || c.Status == suite.Skipped && !c.NotRun)
		}
		s := standingOf(reportOf(t, r))
		if (s.tone == good) != whole || (s.tone == bad) != (r.ExitCode() != 0) || s.tone != good && len(s.ill)+len(s.open) == 0 {
			rt.Fatalf("%+v", s)
		}
	})
	for word, bend := range map[string]func(*suite.Results){
		"1 untestable": func(r *suite.Results) { r.Checks[0].Status = suite.Untestable },
		"1 unchecked":  func(r *suite.Results) { r.Checks, r.Unchecked = r.Checks[1:], []string{"AUTH-1"} },
		"1 not run":    func(r *suite.Results) { r.Checks[0].Status, r.Checks[0].NotRun = suite.Skipped, true },
		"6/6 rules":    func(r *suite.Results) { r.Checks[0].Status = suite.Skipped },
		"interrupted":  func(r *suite.Results) { r.Interrupted = true },
	} {
		r := clean()
		bend(r)
		text := written(t, "svg", reportOf(t, r))
		if green := strings.Contains(text, colours[good]); green != (word == "6/6 rules") || !strings.Contains(text, word) {
			t.Errorf("%s: %s", word, text)
		}
	}
}
