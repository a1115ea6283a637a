package suite

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// diary is a watcher that writes down what it is told. It has no lock of its own: the
// race detector finds a run that tells two things at once.
type diary struct{ lines []string }

func (d *diary) Begin(runs int)             { d.lines = append(d.lines, fmt.Sprintf("begin %d", runs)) }
func (d *diary) Start(check string)         { d.lines = append(d.lines, "start "+check) }
func (d *diary) Step(check string, e Event) { d.lines = append(d.lines, "step "+check+" "+e.Received) }

func (d *diary) Done(r Result) {
	d.lines = append(d.lines, fmt.Sprintf("done %s %s %d", r.Check, r.Status, r.Runs))
}

func TestAuth8WhoWatchesARunIsToldOfEachStepWithoutSecrets(t *testing.T) {
	var d diary
	run(t, Options{Watch: &d}, Check{ID: "BEAT-1/x", Rule: "BEAT-1", Name: "x", Run: func(t *T) {
		t.Record(Step{RPC: beat, Received: &agentv1.HeartbeatResponse{RenewedToken: "renewed-token"}})
	}})
	want := []string{"begin 1", "start BEAT-1/x", `step BEAT-1/x {"renewedToken":"[redacted]"}`, "done BEAT-1/x passed 1"}
	if !slices.Equal(d.lines, want) {
		t.Errorf("told %q", d.lines)
	}
}

func TestAWatcherIsToldOfOneThingAtATime(t *testing.T) {
	var d diary
	var checks []Check
	for i := range 20 {
		checks = append(checks, check(fmt.Sprint(i), func(t *T) { t.Note("hello") }))
	}
	run(t, Options{Watch: &d, Parallel: 8, Repeat: 3}, checks...)
	begun, done := 0, 0
	for _, line := range d.lines {
		switch {
		case strings.HasPrefix(line, "start "):
			begun++
		case strings.HasPrefix(line, "done "):
			done++
		}
	}
	if d.lines[0] != "begin 60" || begun != 60 || done != 60 {
		t.Errorf("%s, %d begun, %d done", d.lines[0], begun, done)
	}
}

func TestWhatIsLeftOutDoesNotRunAndDoesNotPass(t *testing.T) {
	var d diary
	r := run(t, Options{Skip: map[string]string{"BEAT-1/x": "it stops the machine"}, Repeat: 2, Watch: &d},
		check("x", func(*T) { panic("it ran") }), check("good", func(*T) {}))
	got := r.Check("BEAT-1/x")
	if got.Status != Skipped || !got.NotRun || got.Reason != "left out: it stops the machine" || got.Runs != 2 || slices.Contains(d.lines, "start BEAT-1/x") {
		t.Errorf("%+v, told %q", got, d.lines)
	}
	if r.ExitCode() != 0 || r.Repeat != 2 || r.Began.IsZero() {
		t.Errorf("%+v", r)
	}
	all := run(t, Options{Skip: map[string]string{"BEAT": "all of it"}}, check("x", func(*T) {}))
	if all.ExitCode() != 1 {
		t.Errorf("a run of which all is left out has the exit code %d", all.ExitCode())
	}
}
