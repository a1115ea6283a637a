package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/conformance/suite"
)

func TestEachResultThatJudgedSomethingIsASubtest(t *testing.T) {
	r := &suite.Results{Checks: []suite.Result{
		{Check: "BEAT-1/a", Name: "it beats", Status: suite.Passed},
		{Check: "BEAT-1/b", Name: "it beats twice", Status: suite.Failed, Reason: "it did\x1b[2J not", Evidence: []suite.Event{{Sent: "{}"}}},
		{Check: "BEAT-1/c", Status: suite.Untestable, Reason: "no fixture"},
		{Check: "BEAT-1/d", Status: suite.Skipped, Reason: "not bound"},
		{Check: "BEAT-1/e", Status: suite.KnownFailing, Reason: "known: later"},
		{Check: "BEAT-1/f", Status: suite.Broken, Reason: "the fixtures failed"},
	}}
	var got []string
	for _, v := range verdicts(r) {
		word := map[bool]string{true: "fails", false: "passes"}[v.failed]
		got = append(got, v.name+" "+word)
		if strings.ContainsRune(v.text, '\x1b') {
			t.Errorf("%s: its text steers a terminal: %q", v.name, v.text)
		}
	}
	want := []string{"BEAT-1/a passes", "BEAT-1/b fails", "BEAT-1/e passes", "BEAT-1/f fails"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if text := verdicts(r)[1].text; !strings.Contains(text, "it beats twice") || !strings.Contains(text, "not") || !strings.Contains(text, "sent {}") {
		t.Errorf("a failure tells too little: %q", text)
	}
}

func TestARunFailsForWhatNoCheckTells(t *testing.T) {
	passed := suite.Result{Check: "BEAT-1/a", Status: suite.Passed}
	for _, tc := range []struct {
		results suite.Results
		want    string
	}{
		{suite.Results{}, "nothing passed"},
		{suite.Results{Checks: []suite.Result{{Status: suite.Untestable}}}, "nothing passed"},
		{suite.Results{Checks: []suite.Result{passed}, Stale: []string{"BEAT-1"}}, "BEAT-1 is listed as known to fail"},
		{suite.Results{Checks: []suite.Result{passed}, Interrupted: true}, "broken off"},
		{suite.Results{Checks: []suite.Result{passed}}, ""},
	} {
		got := strings.Join(shortcomings(&tc.results), "\n")
		if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%+v: %q, want %q", tc.results, got, tc.want)
		}
	}
}
