package report

import (
	"fmt"
	"strings"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// tone is how a report is to be taken at a glance.
type tone string

const (
	good tone = "good" // every rule that binds was judged, and is kept
	gaps tone = "gaps" // nothing is wrong, and not everything was judged, or some is excused
	bad  tone = "bad"  // something is wrong
)

// standing is a report in a few words.
type standing struct {
	tone tone
	// kept are the rules that passed, of those that could bind.
	kept, of int
	// ill is what is wrong, and open what is not judged or excused: "3 failed".
	ill, open []string
}

func standingOf(r *conformancev1.Report) standing {
	t := r.GetRulesByStatus()
	notBinding, notRun := 0, int(r.GetJudgeableRules())-len(r.GetRules())
	for _, rule := range r.GetRules() {
		if rule.GetStatus() != skipped {
			continue
		}
		notBinding++
		for _, c := range rule.GetChecks() {
			if c.GetNotRun() {
				notBinding--
				notRun++
				break
			}
		}
	}
	out := standing{kept: int(t.GetPassed()), of: int(r.GetJudgeableRules()) - notBinding, tone: good}
	note := func(to *[]string, n int, word string) {
		if n > 0 {
			*to = append(*to, fmt.Sprintf("%d %s", n, word))
		}
	}
	note(&out.ill, int(t.GetFailed()), "failed")
	note(&out.ill, int(t.GetError()), "in error")
	note(&out.ill, len(r.GetStaleKnownFailing()), "wrongly known failing")
	if r.GetInterrupted() {
		out.ill = append(out.ill, "interrupted")
	}
	if r.GetChecksByStatus().GetPassed() == 0 {
		out.ill = append(out.ill, "nothing passed")
	}
	note(&out.open, int(t.GetKnownFailing()), "known failing")
	note(&out.open, int(t.GetUntestable()), "untestable")
	note(&out.open, int(t.GetUnchecked()), "unchecked")
	note(&out.open, notRun, "not run")
	if len(out.open) == 0 && len(r.GetChosenBy()) > 0 {
		out.open = append(out.open, "some of their checks")
	}
	switch {
	case len(out.ill) > 0 || r.GetExitCode() != 0:
		out.tone = bad
	case len(out.open) > 0:
		out.tone = gaps
	}
	return out
}

// String is the standing as a sentence without its full stop.
func (s standing) String() string {
	text := fmt.Sprintf("%d of %s kept", s.kept, count(s.of, "rule"))
	if s.tone == good {
		text = "every rule is kept"
	}
	if more := append(append([]string{}, s.ill...), s.open...); len(more) > 0 {
		text += "; " + strings.Join(more, ", ")
	}
	return text
}
