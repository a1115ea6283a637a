package agentsuite

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/conformance/suite"
)

func TestACommandThatIsNotThereIsUnreachable(t *testing.T) {
	for _, command := range [][]string{nil, {""}, {"/no/such/agent"}, {"."}} {
		_, err := NewTarget(command...)
		if !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", command, err)
		}
	}
}

func TestProbeFindsWhoIsNoAgent(t *testing.T) {
	if err := target(t, program).Probe(t.Context(), load(t), time.Minute); err != nil {
		t.Error(err)
	}
	for command, want := range map[string]string{
		"exit 0": "exit status 0", "exit 7": "exit status 7", "kill -KILL $$": "killed", "echo the reason; exit 1": "the reason",
	} {
		err := target(t, "sh", "-c", command).Probe(t.Context(), load(t), time.Minute)
		if !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// TestProbeGivesTimeToOneThatStartsSlowly: sixteen interpreters that start at once on two
// processors take far longer than one.
func TestProbeGivesTimeToOneThatStartsSlowly(t *testing.T) {
	of := target(t, "sh", "-c", "sleep 1; exec "+program)
	before := Checks(of)
	if err := of.Probe(t.Context(), load(t), time.Minute); err != nil {
		t.Fatal(err)
	}
	for i, c := range Checks(of) {
		if c.Deadline < before[i].Deadline+launches*time.Second {
			t.Errorf("%s may take %v, and %v of an agent that starts at once", c.ID, c.Deadline, before[i].Deadline)
		}
	}
	of.startup = time.Hour
	if got := of.more(); got != mostMore {
		t.Errorf("an agent that hangs is given %v", got)
	}
}

func TestProbeEndsForOneThatHangs(t *testing.T) {
	err := target(t, "sleep", "600").Probe(t.Context(), load(t), 3*time.Second)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "in vain") {
		t.Error(err)
	}
}

func TestWhatAnAgentLacksIsSkipped(t *testing.T) {
	of := target(t, program)
	of.Lacks = []string{"renewal", "resume"}
	results := judge(t, of, suite.Options{Only: []string{"A-BEAT-3", "A-LOG-2", "A-RUN-2/success"}, TimeScale: 3})
	for _, c := range results.Checks {
		want := suite.Skipped
		if c.Rule == "A-RUN-2" {
			want = suite.Passed
		}
		if c.Status != want {
			t.Errorf("%s is %s, want %s: %s", c.Check, c.Status, want, c.Reason)
		}
	}
	if !slices.ContainsFunc(results.Checks, func(c suite.Result) bool { return strings.Contains(c.Reason, "renewal") }) {
		t.Error("no reason names what is lacking")
	}
}
