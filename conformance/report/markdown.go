package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// What a summary shows at most, so that it fits where it goes: a comment on a forge takes
// 64 KiB.
const (
	maxRows   = 50
	maxBytes  = 52 << 10 // of what a further row is added to
	maxReason = 240      // characters
	maxIDs    = 25
)

// Markdown is a report as a summary in Markdown: the counts, what failed, and what is not
// judged and why.
func Markdown(r *conformancev1.Report) ([]byte, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "## Leoflow %s protocol: %s\n\n", sideWord(r), standingOf(r))
	fmt.Fprintf(&out, "%s\n\n", strings.Join(append([]string{code(r.GetSystem(), maxReason)}, facts(r)...), " · "))
	markdownTotals(&out, r)
	for _, id := range r.GetStaleKnownFailing() {
		fmt.Fprintf(&out, "\n**%s** is listed as known to fail, and passed: take it off the list.\n", plain(Visible(id)))
	}
	for _, of := range []conformancev1.ResultStatus{failed, broken, knownFailing} {
		markdownFailures(&out, r, of)
	}
	for _, of := range []conformancev1.ResultStatus{untestable, skipped} {
		markdownReasons(&out, r, of)
	}
	var none []string
	for _, rule := range r.GetRules() {
		if rule.GetStatus() == unchecked {
			none = append(none, rule.GetId())
		}
	}
	if len(none) > 0 {
		fmt.Fprintf(&out, "\n### Unchecked\n\nThe suite has no check of %s: %s\n", count(len(none), "rule"), some(none))
	}
	return []byte(out.String()), nil
}

// facts are how the run was, each in a few words.
func facts(r *conformancev1.Report) []string {
	out := []string{
		fmt.Sprintf("edition %d of the rules", r.GetEdition()),
		r.GetBeganAt().AsTime().Format("2006-01-02 15:04:05 UTC"),
		"took " + r.GetTook().AsDuration().Round(time.Millisecond).String(),
		fmt.Sprintf("seed %d", r.GetSeed()),
	}
	if r.GetRepeat() > 1 {
		out = append(out, fmt.Sprintf("each check %d times", r.GetRepeat()))
	}
	if len(r.GetChosenBy()) > 0 {
		out = append(out, "only "+strings.Join(r.GetChosenBy(), ", "))
	}
	return out
}

// markdownTotals is the counts; statuses that nothing has are left out.
func markdownTotals(out *strings.Builder, r *conformancev1.Report) {
	heads, under := []string{""}, []string{"---"}
	rules, checks := []string{"rules"}, []string{"checks"}
	for _, s := range statuses() {
		ofRules, ofChecks := *total(r.GetRulesByStatus(), s), *total(r.GetChecksByStatus(), s)
		if ofRules == 0 && ofChecks == 0 && s != passed && s != failed {
			continue
		}
		heads, under = append(heads, wordOf(s)), append(under, "---:")
		rules, checks = append(rules, fmt.Sprint(ofRules)), append(checks, fmt.Sprint(ofChecks))
	}
	for _, row := range [][]string{heads, under, rules, checks} {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
	}
}

// markdownFailures has a line for each rule that has checks of a status, with the first of
// them: a rule that is broken for every RPC is told once.
func markdownFailures(out *strings.Builder, r *conformancev1.Report, of conformancev1.ResultStatus) {
	rows, more := 0, 0
	for _, rule := range r.GetRules() {
		those := slices.DeleteFunc(slices.Clone(rule.GetChecks()), func(c *conformancev1.CheckResult) bool { return c.GetStatus() != of })
		if len(those) == 0 {
			continue
		}
		if rows++; rows > maxRows || out.Len() > maxBytes {
			more++
			continue
		}
		if rows == 1 {
			fmt.Fprintf(out, "\n### %s\n\n| rule | level | checks | the first of them | what was seen |\n| --- | --- | ---: | --- | --- |\n", heading(of))
		}
		first := those[0]
		fmt.Fprintf(out, "| %s | %s | %d of %d | %s<br>%s | %s |\n", plain(rule.GetId()), levelWord(rule.GetLevel()), len(those),
			len(rule.GetChecks()), plain(first.GetId()), plain(first.GetName()), manyCode(strings.Split(first.GetReason(), "\n")))
	}
	if more > 0 {
		fmt.Fprintf(out, "\n%s: %s more.\n", heading(of), count(more, "rule"))
	}
}

// manyCode is lines in one cell of a table.
func manyCode(lines []string) string {
	const most = 3
	var out []string
	for i, line := range lines {
		if i == most {
			out = append(out, fmt.Sprintf("and %s more", count(len(lines)-most, "line")))
			break
		}
		out = append(out, code(line, maxReason))
	}
	return strings.Join(out, "<br>")
}

// reason is why checks were not judged, and the rules that they are of.
type reason struct {
	text  string
	rules []string
}

// reasonsOf are the reasons of the checks with a status, in the order of the rules.
func reasonsOf(r *conformancev1.Report, of conformancev1.ResultStatus) []reason {
	var out []reason
	for _, rule := range r.GetRules() {
		for _, c := range rule.GetChecks() {
			if c.GetStatus() != of {
				continue
			}
			text, _, _ := strings.Cut(c.GetReason(), "\n")
			at := slices.IndexFunc(out, func(r reason) bool { return r.text == text })
			if at < 0 {
				at, out = len(out), append(out, reason{text: text})
			}
			if !slices.Contains(out[at].rules, rule.GetId()) {
				out[at].rules = append(out[at].rules, rule.GetId())
			}
		}
	}
	return out
}

// markdownReasons has a line for each reason, with the rules that it holds for.
func markdownReasons(out *strings.Builder, r *conformancev1.Report, of conformancev1.ResultStatus) {
	reasons := reasonsOf(r, of)
	if len(reasons) == 0 {
		return
	}
	fmt.Fprintf(out, "\n### %s\n\n", heading(of))
	for i, reason := range reasons {
		if i == maxRows || out.Len() > maxBytes {
			fmt.Fprintf(out, "- and for %s more\n", count(len(reasons)-i, "reason"))
			break
		}
		fmt.Fprintf(out, "- %s: %s\n", code(reason.text, maxReason), some(reason.rules))
	}
}

func heading(of conformancev1.ResultStatus) string {
	word := strings.ReplaceAll(wordOf(of), "-", " ")
	return strings.ToUpper(word[:1]) + word[1:]
}

// some is a list of ids, without those that are too many.
func some(ids []string) string {
	if len(ids) > maxIDs {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:maxIDs], ", "), len(ids)-maxIDs)
	}
	return strings.Join(ids, ", ")
}

// code is a text of others as code, in which Markdown means nothing: no link, no picture,
// nobody's name. A bar would end a table's cell even there, so it stands outside.
func code(text string, characters int) string {
	text = strings.ReplaceAll(short(Visible(text), characters), "\t", " ")
	parts := strings.Split(text, "|")
	for i, part := range parts {
		if part == "" {
			continue
		}
		longest, run := 0, 0
		for _, c := range part {
			if run++; c != '`' {
				run = 0
			}
			longest = max(longest, run)
		}
		fence := strings.Repeat("`", longest+1)
		if longest > 0 || strings.HasPrefix(part, " ") && strings.HasSuffix(part, " ") {
			part = " " + part + " "
		}
		parts[i] = fence + part + fence
	}
	return strings.Join(parts, "&#124;")
}

// plain is a text of ours in which Markdown means nothing.
func plain(text string) string {
	var out strings.Builder
	for _, c := range text {
		if strings.ContainsRune("\\`*_[]<>|~#&", c) {
			out.WriteByte('\\')
		}
		out.WriteRune(c)
	}
	return out.String()
}
