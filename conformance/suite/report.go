package suite

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Text is the results for people: what did not pass and why, with its evidence where the
// check failed, which of a few rules passed, what could not be judged, and the counts. Every text of the system under
// test goes through visible, which takes out what would steer a terminal.
func (r *Results) Text(visible func(string) string) string {
	var out strings.Builder
	for _, s := range []Status{Broken, Failed} {
		for _, c := range r.Checks {
			if c.Status == s {
				out.WriteString(c.Text(visible))
			}
		}
	}
	for _, id := range r.Stale {
		fmt.Fprintf(&out, "known failing, and passed: %s: take it off the list\n", id)
	}
	if passed := r.passed(); len(passed) > 0 && r.Rules() <= fewRules {
		fmt.Fprintf(&out, "passed: %s\n", strings.Join(passed, ", "))
	}
	for _, s := range []Status{KnownFailing, Skipped, Untestable} {
		r.tellReasons(&out, s, visible)
	}
	if len(r.Unchecked) > 0 {
		fmt.Fprintf(&out, "unchecked, for want of a check: %s: %s\n", count(len(r.Unchecked), "rule"), strings.Join(r.Unchecked, ", "))
	}
	if r.Interrupted {
		out.WriteString("interrupted: not every check ran\n")
	}
	out.WriteString(r.Summary())
	return out.String()
}

// fewRules are rules enough for each to be named where it passed: who asked for more wants
// to know of the others.
const fewRules = 15

// passed are the rules of which every check passed, in the order of the checks; of a rule
// of which only some were chosen, these checks.
func (r *Results) passed() []string {
	var names []string
	others := map[string]bool{}
	for _, c := range r.Checks {
		name := c.Rule
		if r.partly[c.Rule] {
			name = c.Check
		}
		if c.Status != Passed {
			others[name] = true
		} else if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return others[name] })
}

// Summary is the counts, in a line.
func (r *Results) Summary() string {
	var counts []string
	for _, s := range Statuses() {
		if n := r.Count(s); n > 0 || s == Passed || s == Failed {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return fmt.Sprintf("%s of %s, %s of RPC and concern: %s; %s unchecked; %v, seed %d\n",
		count(len(r.Checks), "check"), count(r.Rules(), "rule"), count(r.Cells(), "cell"),
		strings.Join(counts, ", "), count(len(r.Unchecked), "rule"), r.Took.Round(time.Millisecond), r.Seed)
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// Text is what became of one check, with what it saw, as in [Results.Text].
func (r Result) Text(visible func(string) string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s: %s", r.Status, r.Check, r.Name)
	if r.Runs > 1 {
		fmt.Fprintf(&out, " (%d of %d runs)", r.Bad, r.Runs)
	}
	out.WriteString("\n")
	for line := range strings.SplitSeq(r.Reason, "\n") {
		fmt.Fprintf(&out, "    %s\n", visible(line))
	}
	for _, e := range r.Evidence {
		fmt.Fprintf(&out, "      %s\n", e.Text(visible))
	}
	return out.String()
}

// maxField is how much of each part of a step a terminal shows, in bytes. Reports have
// all that is kept of it.
const maxField = 300

// Text is a step in one line, of which long parts are cut.
func (e Event) Text(visible func(string) string) string {
	out := fmt.Sprintf("%7s", e.At.Round(time.Millisecond))
	for _, part := range [][2]string{
		{"", e.RPC.Method()}, {"", e.What}, {"sent ", e.Sent}, {"received ", e.Received}, {"", e.Code}, {"", e.Error},
	} {
		if part[1] == "" {
			continue
		}
		out += "  " + part[0] + visible(begin(part[1], maxField))
		if len(part[1]) > maxField {
			out += "…"
		}
	}
	return out
}

// tellReasons has a line for each reason, with the checks that it holds for.
func (r *Results) tellReasons(out *strings.Builder, s Status, visible func(string) string) {
	var reasons []string
	of := map[string][]string{}
	for _, c := range r.Checks {
		if c.Status != s {
			continue
		}
		reason, _, _ := strings.Cut(c.Reason, "\n")
		if of[reason] == nil {
			reasons = append(reasons, reason)
		}
		if !slices.Contains(of[reason], c.Rule) {
			of[reason] = append(of[reason], c.Rule)
		}
	}
	for _, reason := range reasons {
		fmt.Fprintf(out, "%s: %s: %s\n", s, strings.Join(of[reason], ", "), visible(reason))
	}
}
