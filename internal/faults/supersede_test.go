package faults

import (
	"testing"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

// retries are the ways to begin a second try though the first is live.
var retries = map[string]func(r *rig, task string){
	"superseding launch": func(*rig, string) {}, // the launch does it
	"RetryTask": func(r *rig, task string) {
		resp := must[*controlv1.RetryTaskResponse](r.t)(r.RetryTask(r.ctx, &controlv1.RetryTaskRequest{
			DagId: "dag", RunId: "run", TaskId: task, TryNumber: 1,
		}))
		if !resp.GetChanged() || resp.GetNextTryNumber() != 2 {
			r.t.Errorf("retried as %v", resp)
		}
	},
}

// tries is a task that says which try it is, by what its agent has been given for it,
// and returns it; between its two lines it is at the gate.
const tries = `
echo "begins in $TMPDIR"
arrive tries
echo "ends in $TMPDIR"
printf '"%s"' "$TMPDIR" >"$LEOFLOW_RETURN_VALUE_PATH"
`

// TestState4SupersededAgentComesBackAlive stops an agent, begins a second try with
// another, and continues the first while the second runs: it learns why it must end,
// stops its task and changes nothing. In half of the cases its task has ended
// meanwhile, so that it comes back with a value and an outcome.
func TestState4SupersededAgentComesBackAlive(t *testing.T) {
	t.Parallel()
	for name, retry := range retries {
		for what, done := range map[string]bool{"while its task runs": false, "after its task ended": true} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				r := start(t, server.Config{SilenceWindow: 2 * window})
				r.create(r.task("tries", tries))
				token := r.launch("tries", 1)
				first := r.agent(r.addr, token)
				before := r.gate.await("tries")
				eventually(t, "logged: the first line", func() bool { return len(r.printed("tries", 1)) > 0 })
				first.stop()
				retry(r, "tries")
				second := r.agent(r.addr, r.launch("tries", 2))
				after := r.gate.await("tries")
				eventually(t, "logged: the first line of the second", func() bool { return len(r.printed("tries", 2)) > 0 })
				if done {
					before.pass()
					before.gone()
				}
				r.comesBack(first, before, done)
				r.learns(token)
				after.pass()
				second.wantExit(0)
				r.wantSecondTry(second)
			})
		}
	}
}

// comesBack continues the first try's agent, and holds that it ends by itself and
// changes nothing but its own log.
func (r *rig) comesBack(first *agent, before *visit, done bool) {
	r.t.Helper()
	settled := r.attempt("tries", 1)
	if settled.GetState() != failed || settled.GetCause() != superseded {
		r.t.Errorf("the first try ended as %v", settled)
	}
	current, log := r.attempt("tries", 2), len(r.printed("tries", 2))
	first.resume()
	first.wantExit(0)
	if before.alive() {
		r.t.Error("A-BEAT-2: its task lives")
	}
	r.wantSame("tries", settled)
	now := r.attempt("tries", 2)
	now.HeartbeatAt = current.GetHeartbeatAt() // its own agent beats
	if !proto.Equal(now, current) {
		r.t.Errorf("the second try was changed:\n%v\nbefore:\n%v", now, current)
	}
	if n := len(r.printed("tries", 2)); n != log {
		r.t.Errorf("LOG-9: the second try's log has %d lines, and had %d", n, log)
	}
	ends := first.cmd.Dir
	if got := r.said("tries", 1, "stdout", "ends in "+ends); got != done {
		r.t.Errorf("LOG-9: the first try's last line is in its log: %v, want %v", got, done)
	}
	// A task that had ended needs no reason to stop, and its agent's last word is why the
	// value was refused.
	if !done && !r.said("tries", 1, "agent", "a newer attempt of the task began") {
		r.t.Error("the agent did not learn why")
	}
}

// learns holds what the first try's agent was told, whatever it asked (BEAT-3, STATE-4).
func (r *rig) learns(token string) {
	r.t.Helper()
	client, ctx := r.wire(token)
	beat := must[*agentv1.HeartbeatResponse](r.t)(client.Heartbeat(ctx, &agentv1.HeartbeatRequest{}))
	report := must[*agentv1.ReportStateResponse](r.t)(client.ReportState(ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_SUCCESS}))
	if !beat.GetShouldTerminate() || beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED || beat.GetRenewedToken() != "" {
		r.t.Errorf("the first try's heartbeat is answered %v", beat)
	}
	if !report.GetAcknowledged() || !report.GetShouldTerminate() || report.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED {
		r.t.Errorf("the first try's report is answered %v", report)
	}
}

// wantSecondTry holds that all there is of the second try is its own.
func (r *rig) wantSecondTry(second *agent) {
	r.t.Helper()
	if a := r.ended("tries", 2); a.GetState() != success || a.GetCause() != none {
		r.t.Errorf("the second try ended as %v", a)
	}
	dir := second.cmd.Dir
	if value := r.value("tries"); value != `"`+dir+`"` {
		r.t.Errorf("XCOM-6: the value is %s, want the second try's, %q", value, dir)
	}
	said := r.printed("tries", 2)
	if len(said) != 2 || said[0] != "begins in "+dir || said[1] != "ends in "+dir {
		r.t.Errorf("the second try's log is %q", said)
	}
}
