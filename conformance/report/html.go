package report

import (
	"bytes"
	_ "embed" // the template and the style of the page
	"fmt"
	"html/template"
	"strings"
	"time"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// What the page shows at most of one failure, and how much of it unfolded.
const (
	maxFirst    = 40  // steps of its begin, where there are more in all than
	maxLast     = 80  // these and those of its end
	maxUnfolded = 5   // failures
	maxInline   = 160 // bytes of a message that are shown without unfolding it
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string

	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"prose": prose}).Parse(pageText))
)

// HTML is a report as a page that needs nothing beside it: no script, no font, no picture.
func HTML(r *conformancev1.Report) ([]byte, error) {
	v := pageView{
		Style: template.CSS(pageStyle), //nolint:gosec // it is ours
		Side:  sideWord(r), System: Visible(r.GetSystem()), Standing: standingOf(r).String(), Tone: string(standingOf(r).tone),
		Facts: facts(r), Totals: totalViews(r), Matrix: matrixOf(r), Reasons: reasonViews(r), Families: familyViews(r),
		Version: r.GetVersion(),
	}
	for _, id := range r.GetStaleKnownFailing() {
		v.Notes = append(v.Notes, Visible(id)+" is listed as known to fail, and passed: take it off the list.")
	}
	if r.GetInterrupted() {
		v.Notes = append(v.Notes, "The run was interrupted: not every check ran.")
	}
	for _, of := range []conformancev1.ResultStatus{failed, broken, knownFailing} {
		for _, rule := range r.GetRules() {
			for _, c := range rule.GetChecks() {
				if c.GetStatus() == of {
					v.Failures = append(v.Failures, failureOf(r, rule, c, len(v.Failures) < maxUnfolded))
				}
			}
		}
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("the report as HTML: %w", err)
	}
	return out.Bytes(), nil
}

// prose is a text of the catalogue, in which names stand between backquotes.
func prose(text string) template.HTML {
	var out strings.Builder
	for i, part := range strings.Split(text, "`") {
		part = template.HTMLEscapeString(Visible(part))
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		out.WriteString(part)
	}
	return template.HTML(out.String()) //nolint:gosec // each part is escaped
}

// What the page's template shows.
type (
	pageView struct {
		Style                        template.CSS
		Side, System, Standing, Tone string
		Facts, Notes                 []string
		Totals                       []totalView
		Matrix                       matrixView
		Failures                     []failureView
		Reasons                      []reasonView
		Families                     []familyView
		Version                      int32
	}
	totalView struct {
		Status, Word, RulesWord, ChecksWord string
		Rules                               int32
	}
	failureView struct {
		Anchor, ID, Name, Status, Word, Level, Rule, Statement, Rationale, Runs string
		Unfolded                                                                bool
		Reasons                                                                 []string
		Other                                                                   string // the right lane: server or agent
		Steps                                                                   []stepView
	}
	stepView struct {
		At, What, RPC string
		Messages      []messageView
	}
	messageView struct {
		To           bool // to the system
		Word         string
		IsStatus     bool
		Start, Whole string // Whole, where not all of the text is in Start
	}
	reasonView struct {
		Status, Word, Reason string
		Rules                []string
	}
	familyView struct {
		ID, Title string
		Rules     []ruleView
	}
	ruleView struct {
		ID, Level, Statement, Rationale, Status, Word string
		Checks                                        []checkView
	}
	checkView struct {
		ID, Name, RPCs, Status, Word, Took, Failure string // Failure is the anchor of what it saw
		Reasons                                     []string
	}
)

func totalViews(r *conformancev1.Report) []totalView {
	var out []totalView
	for _, s := range statuses() {
		ofRules, ofChecks := *total(r.GetRulesByStatus(), s), *total(r.GetChecksByStatus(), s)
		if ofRules > 0 || ofChecks > 0 || s == passed || s == failed {
			out = append(out, totalView{
				Status: wordOf(s), Word: heading(s), Rules: ofRules,
				RulesWord: count(int(ofRules), "rule"), ChecksWord: count(int(ofChecks), "check"),
			})
		}
	}
	return out
}

// anchorOf is where a failure is told on the page; empty: c did not fail.
func anchorOf(c *conformancev1.CheckResult) string {
	switch c.GetStatus() {
	case failed, broken, knownFailing:
		return "check-" + strings.ReplaceAll(c.GetId(), "/", ".") // a slash would be escaped in a link
	}
	return ""
}

func failureOf(r *conformancev1.Report, rule *conformancev1.RuleResult, c *conformancev1.CheckResult, unfolded bool) failureView {
	v := failureView{
		Anchor: anchorOf(c), ID: c.GetId(), Name: Visible(c.GetName()), Status: wordOf(c.GetStatus()), Word: heading(c.GetStatus()),
		Level: levelWord(rule.GetLevel()), Rule: rule.GetId(), Statement: rule.GetStatement(), Rationale: rule.GetRationale(),
		Unfolded: unfolded, Reasons: lines(c.GetReason()), Other: sideWord(r),
	}
	if c.GetRuns() > 1 {
		v.Runs = fmt.Sprintf("%d of %s went wrong; this is the first of the worst.", c.GetBadRuns(), count(int(c.GetRuns()), "run"))
	}
	all := c.GetEvidence()
	for i := 0; i < len(all); i++ {
		step := stepOf(r.GetSide(), all[i])
		if left := len(all) - i - maxLast; i == maxFirst && left > 0 {
			step, i = stepView{What: fmt.Sprintf("… %s that only the report as JSON shows …", count(left, "step"))}, i+left-1
		}
		v.Steps = append(v.Steps, step)
	}
	return v
}

// stepOf is a step as its messages: a call, and what answered it.
func stepOf(side conformancev1.ReportSide, e *conformancev1.Evidence) stepView {
	v := stepView{At: e.GetAt().AsDuration().Round(time.Millisecond).String(), What: Visible(e.GetWhat()), RPC: method(e.GetRpc())}
	add := func(to bool, word, text string, isStatus bool) {
		if text == "" && word == "" {
			return
		}
		m := messageView{To: to, Word: Visible(word), IsStatus: isStatus, Start: Visible(text)}
		if len(m.Start) > maxInline {
			m.Start, m.Whole = short(m.Start, maxInline/2), m.Start
		}
		v.Messages = append(v.Messages, m)
	}
	message := func(to bool, text string) {
		if text != "" {
			add(to, v.RPC, text, false)
		}
	}
	// The suite calls a server, and an agent calls the suite.
	calls := side != conformancev1.ReportSide_REPORT_SIDE_AGENT
	if calls {
		message(true, e.GetSent())
		message(false, e.GetReceived())
	} else {
		message(false, e.GetReceived())
		message(true, e.GetSent())
	}
	add(!calls, e.GetCode(), e.GetError(), true)
	return v
}

// reasonViews are why some checks were not judged, each reason with its rules.
func reasonViews(r *conformancev1.Report) []reasonView {
	var out []reasonView
	for _, of := range []conformancev1.ResultStatus{untestable, skipped} {
		for _, reason := range reasonsOf(r, of) {
			out = append(out, reasonView{Status: wordOf(of), Word: heading(of), Reason: Visible(reason.text), Rules: reason.rules})
		}
	}
	none := reasonView{Status: wordOf(unchecked), Word: heading(unchecked), Reason: "the suite has no check of this rule"}
	for _, rule := range r.GetRules() {
		if rule.GetStatus() == unchecked {
			none.Rules = append(none.Rules, rule.GetId())
		}
	}
	if len(none.Rules) > 0 {
		out = append(out, none)
	}
	return out
}

func familyViews(r *conformancev1.Report) []familyView {
	var out []familyView
	for _, rule := range r.GetRules() {
		id := familyOf(rule)
		if len(out) == 0 || out[len(out)-1].ID != id {
			out = append(out, familyView{ID: id, Title: rule.GetFamily()})
		}
		v := ruleView{
			ID: rule.GetId(), Level: levelWord(rule.GetLevel()), Statement: rule.GetStatement(), Rationale: rule.GetRationale(),
			Status: wordOf(rule.GetStatus()), Word: heading(rule.GetStatus()),
		}
		for _, c := range rule.GetChecks() {
			v.Checks = append(v.Checks, checkOf(c))
		}
		family := &out[len(out)-1]
		family.Rules = append(family.Rules, v)
	}
	return out
}

func checkOf(c *conformancev1.CheckResult) checkView {
	v := checkView{
		ID: c.GetId(), Name: Visible(c.GetName()), Status: wordOf(c.GetStatus()), Word: heading(c.GetStatus()),
		Took: c.GetTook().AsDuration().Round(time.Millisecond).String(), Failure: anchorOf(c),
	}
	var rpcs []string
	for _, rpc := range c.GetRpcs() {
		rpcs = append(rpcs, method(rpc))
	}
	v.RPCs = strings.Join(rpcs, ", ")
	if c.GetReason() != "" {
		v.Reasons = lines(c.GetReason())
	}
	return v
}
