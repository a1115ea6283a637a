package report

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

func TestThePageNeedsNothingBesideItAndItsLinksLead(t *testing.T) {
	for name, r := range map[string]*suite.Results{"mixed": mixed(), "clean": clean()} {
		page := written(t, "html", reportOf(t, r))
		elements(t, page)
		ids := map[string]bool{}
		for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if ids[m[1]] {
				t.Errorf("%s: two have the id %q", name, m[1])
			}
			ids[m[1]] = true
		}
		for _, m := range regexp.MustCompile(` (href|src|aria-labelledby)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if target := strings.TrimPrefix(m[2], "#"); !ids[target] || m[1] != "aria-labelledby" && m[2] == target {
				t.Errorf("%s: %s leads to %q, which the page lacks", name, m[1], m[2])
			}
		}
		if strings.Contains(page, "@import") || strings.Contains(page, "url(") || strings.Contains(page, "http:") || strings.Contains(page, "https:") {
			t.Errorf("%s: the page asks for something of others", name)
		}
	}
}

// TestEveryStatusHasItsFilterAndItsColour holds the style to the statuses.
func TestEveryStatusHasItsFilterAndItsColour(t *testing.T) {
	for _, s := range statuses() {
		for _, selector := range []string{"#show-" + wordOf(s) + ":checked", "." + wordOf(s) + " ", ".is-" + wordOf(s)} {
			if !strings.Contains(strings.ReplaceAll(pageStyle, ",", " "), selector) {
				t.Errorf("the style has no %q", selector)
			}
		}
		if signs[s] == "" || total(reportOf(t, clean()).GetRulesByStatus(), s) == nil {
			t.Errorf("%v has no sign or total", s)
		}
	}
}

// TestACellTellsTheWorstOfItsChecks looks at the matrix of the mixed results.
func TestACellTellsTheWorstOfItsChecks(t *testing.T) {
	m := matrixOf(reportOf(t, mixed()))
	got := map[string]cellView{}
	for _, row := range m.Rows {
		for i, c := range row.Cells {
			got[row.Method+" "+m.Heads[i].ID] = c
		}
	}
	for at, want := range map[string]cellView{
		"Register AUTH":   {"#family-AUTH", "passed", "✓ 2", "2 passed"},
		"Heartbeat AUTH":  {"#check-AUTH-2.expired.Heartbeat", "failed", "✗ 1/2", "1 passed, 1 failed"},
		"Heartbeat BEAT":  {"#check-BEAT-1.live", "known-failing", "≈ 1/3", "1 known-failing, 1 untestable, 1 skipped"},
		"StreamLogs LOG":  {"#check-LOG-1.kept", "error", "! 1", "1 error"},
		"StreamLogs AUTH": {},
		" BEAT":           {"#family-BEAT", "skipped", "– 1", "1 skipped"},
	} {
		if got[at] != want {
			t.Errorf("%s: %+v", at, got[at])
		}
	}
}

// TestALongFailureKeepsItsEnd has more steps than the page shows.
func TestALongFailureKeepsItsEnd(t *testing.T) {
	r := clean()
	c := result("LOG-1", "long", suite.Failed, "x", logs)
	for i := range 1000 {
		c.Evidence = append(c.Evidence, suite.Event{What: "step " + strconv.Itoa(i) + "."})
	}
	r.Checks = append(r.Checks, c)
	page := written(t, "html", reportOf(t, r))
	for piece, want := range map[string]bool{"step 39.": true, "step 40.": false, "step 919.": false, "step 920.": true, "step 999.": true, "… 880 steps": true} {
		if strings.Contains(page, piece) != want {
			t.Errorf("%q: %v", piece, !want)
		}
	}
}

// TestAnAgentCallsAndAServerIsCalled looks at which message of a step comes first.
func TestAnAgentCallsAndAServerIsCalled(t *testing.T) {
	for side, want := range map[catalogue.Side][]string{
		catalogue.Server: {"suite to server: sent", "server to suite: received", "server to suite: gone"},
		catalogue.Agent:  {"agent to suite: received", "suite to agent: sent", "suite to agent: gone"},
	} {
		step := stepOf(sideOf[side], &conformancev1.Evidence{Rpc: string(beat), Sent: "sent", Received: "received", Error: "gone"})
		var got []string
		for _, m := range step.Messages {
			way := string(side) + " to suite: "
			if m.To {
				way = "suite to " + string(side) + ": "
			}
			got = append(got, way+m.Start)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
