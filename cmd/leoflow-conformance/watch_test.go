package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/conformance/suite"
)

func TestProgressIsOneLineThatGoesAway(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, width: func() int { return 40 }}
	p.Begin(3)
	p.Start("AUTH-1/none/Register")
	p.Start("BEAT-1/a-name-that-is-longer-than-the-terminal")
	p.Step("AUTH-1/none/Register", suite.Event{What: "not shown"})
	p.Done(suite.Result{Check: "BEAT-1/a-name-that-is-longer-than-the-terminal", Status: suite.Failed})
	p.Done(suite.Result{Check: "AUTH-1/none/Register", Status: suite.Passed})
	p.Done(suite.Result{Check: "LOG-1/x", Status: suite.Skipped, NotRun: true})
	p.clear()
	got := strings.Split(out.String(), clearLine)
	want := []string{
		"", "0/3 checks, 0 failed, now AUTH-1/none/…", "0/3 checks, 0 failed, now BEAT-1/a-nam…", "1/3 checks, 1 failed, now AUTH-1/none/…",
		"2/3 checks, 1 failed", "3/3 checks, 1 failed", "",
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("shown are %q, and not %q", got, want)
	}
}

// TestATraceTellsEachStepAndChangesNoResult has texts of a system that would steer a
// terminal.
func TestATraceTellsEachStepAndChangesNoResult(t *testing.T) {
	var out bytes.Buffer
	told := trace{&out}
	told.Step("LOG-1/x", suite.Event{RPC: "/leoflow.agent.v1.AgentService/Heartbeat", What: "as \x1b[2J", Sent: "{}", Code: "NotFound", Error: "a\nb"})
	told.Done(suite.Result{Check: "LOG-1/x", Status: suite.Failed, Reason: "one\ntw\x1bo"})
	want := "LOG-1/x       0s  Heartbeat  as \\x1b[2J  sent {}  NotFound  a\\nb\nLOG-1/x  failed after 0s\nLOG-1/x      one\nLOG-1/x      tw\\x1bo\n"
	if out.String() != want {
		t.Errorf("told %q, not %q", out.String(), want)
	}

	code, text, errOut := judgeBare(t, bare{}, "--trace", "--seed", "5")
	if code != exitFailed || !strings.HasPrefix(text, "untestable: AUTH-1: ") {
		t.Errorf("exit code %d, output %q", code, text)
	}
	lines := strings.Split(errOut, "\n")
	if len(lines) < 4 || lines[0] != "1 run of checks" || lines[1] != "AUTH-1/none/Register  begins" || !strings.HasPrefix(lines[2], "AUTH-1/none/Register  untestable after ") {
		t.Errorf("traced %q", lines)
	}
}
