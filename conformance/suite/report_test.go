package suite

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTheTextTellsWhatFailedAndWhy(t *testing.T) {
	r := run(t, Options{Seed: 7, Only: []string{"BEAT-1"}},
		check("bad", func(t *T) {
			t.Record(Step{RPC: beat, What: "as nobody", Err: status.Error(codes.NotFound, "no\x1b[2J")})
			t.Fatalf("it was not taken")
		}),
		check("lame", func(t *T) { t.Untestable("the fixtures cannot") }),
		check("good", func(*T) {}),
	)
	if text := r.Text(strings.Clone); strings.Contains(text, "passed: BEAT-1") {
		t.Errorf("a rule of which a check failed is among those that passed: %q", text)
	}
	text := r.Text(func(s string) string { return strings.ReplaceAll(s, "\x1b", "^[") })
	for _, piece := range []string{
		"failed: BEAT-1/bad: bad\n    it was not taken\n", "Heartbeat  as nobody  NotFound  no^[[2J",
		"untestable: BEAT-1: the fixtures cannot\n", "3 checks of 1 rule, 1 cell of RPC and concern: 1 passed, 1 failed, 1 untestable; 0 rules unchecked; ",
		"seed 7\n",
	} {
		if !strings.Contains(text, piece) {
			t.Errorf("%q lacks %q", text, piece)
		}
	}
}

func TestTheTextNamesTheRulesThatPassed(t *testing.T) {
	r := run(t, Options{}, check("good", func(*T) {}), check("better", func(*T) {}))
	if text := r.Text(strings.Clone); !strings.HasPrefix(text, "passed: BEAT-1\n") {
		t.Errorf("the text is %q", text)
	}
	some := run(t, Options{Only: []string{"BEAT-1/good"}}, check("good", func(*T) {}), check("better", func(*T) {}))
	if text := some.Text(strings.Clone); !strings.HasPrefix(text, "passed: BEAT-1/good\n") {
		t.Errorf("of one check of two the text is %q", text)
	}
	for i := range fewRules {
		r.Checks = append(r.Checks, Result{Rule: fmt.Sprint("MANY-", i), Status: Passed})
	}
	if text := r.Text(strings.Clone); strings.Contains(text, "passed: ") {
		t.Errorf("of %d rules each is named: %q", r.Rules(), text)
	}
}

// TestALongMessageFitsATerminal has a message that reports have room for.
func TestALongMessageFitsATerminal(t *testing.T) {
	long := strings.Repeat("ü", 1000)
	r := run(t, Options{}, check("bad", func(t *T) {
		t.Record(Step{RPC: beat, What: long, Err: status.Error(codes.NotFound, long)})
		t.Fatalf("it was not taken")
	}))
	seen := r.Checks[0].Evidence
	event := seen[len(seen)-1]
	if event.What != long || event.Error != long {
		t.Errorf("the evidence is cut: %d and %d bytes are kept", len(event.What), len(event.Error))
	}
	shown := strings.Repeat("ü", maxField/2) + "…"
	if text := event.Text(strings.Clone); !strings.HasSuffix(text, "  Heartbeat  "+shown+"  NotFound  "+shown) {
		t.Errorf("the text is of %d bytes: %q", len(text), text)
	}
}
