package faults

import (
	"testing"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestBeat5KilledAgentIsLost kills an agent: its task cannot tell anybody how it ended.
func TestBeat5KilledAgentIsLost(t *testing.T) {
	t.Parallel()
	r := start(t, server.Config{})
	r.create(r.waiting("killed"), r.waiting("healthy"))
	killed, _ := r.begin("killed")
	healthy, visit := r.begin("healthy")
	killed.kill()
	if a := r.wantEnd("killed", failed, lost, 0); a.GetMessage() == "" || a.GetEndedAt() == nil {
		t.Errorf("it says nothing of its end: %v", a)
	}
	r.wantState("healthy", running)
	visit.pass()
	healthy.wantExit(0)
	r.wantEnd("healthy", success, none, 0)
}

// TestState6KilledTaskTellsWhat kills tasks under their agents.
func TestState6KilledTaskTellsWhat(t *testing.T) {
	t.Parallel()
	r := start(t, server.Config{})
	r.create(
		r.waiting("leader"),
		r.task("child", `bash -c "$(declare -f arrive); arrive child"; exit $?`),
		r.task("overcome", `bash -c "$(declare -f arrive); arrive overcome"; exit 0`),
		r.waiting("healthy"),
	)
	healthy, at := r.begin("healthy")
	for _, c := range []struct {
		task  string
		state policyv1.TaskState
		cause controlv1.Cause
		code  int32
	}{{"leader", failed, signalled, -9}, {"child", failed, exitNonzero, 137}, {"overcome", success, none, 0}} {
		a, visit := r.begin(c.task)
		visit.kill()
		a.wantExit(0)
		r.wantEnd(c.task, c.state, c.cause, c.code)
	}
	r.wantState("healthy", running)
	at.pass()
	healthy.wantExit(0)
	r.wantEnd("healthy", success, none, 0)
}

// TestBeat3StoppedAgentIsLostAndLearnsIt stops an agent past its window and continues it.
func TestBeat3StoppedAgentIsLostAndLearnsIt(t *testing.T) {
	t.Parallel()
	r := start(t, server.Config{})
	r.create(r.waiting("stopped"), r.waiting("healthy"))
	stopped, at := r.begin("stopped")
	healthy, visit := r.begin("healthy")
	stopped.stop()
	before := r.wantEnd("stopped", failed, lost, 0)
	if !at.alive() {
		t.Error("the task ended while nobody told its agent")
	}
	stopped.resume()
	at.gone() // though nobody let it on: the agent has stopped it
	stopped.wantExit(0)
	if at.alive() {
		t.Error("the task lives")
	}
	r.wantSame("stopped", before)
	if !r.said("stopped", 1, "agent", "given up as lost") {
		t.Error("LOG-9: the agent's last words are not in its log")
	}
	r.wantState("healthy", running)
	visit.pass()
	healthy.wantExit(0)
	r.wantEnd("healthy", success, none, 0)
}
