package faults

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestBeat6CancelOfAnUnreachableAgent cancels a task whose agent hears nothing: past the
// deadline it is settled as cancelled, be it that the grace ran out first or that its
// silence did. The agent that comes back stops the task, and changes nothing.
func TestBeat6CancelOfAnUnreachableAgent(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]server.Config{
		"past the grace":  {SilenceWindow: 4 * window, Grace: time.Second},
		"past the window": {SilenceWindow: 2 * window}, // the cancel comes in it however late
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, cfg)
			n := r.network()
			r.create(r.waiting("cut-off"), r.waiting("healthy"))
			healthy, visit := r.begin("healthy")
			token := r.launch("cut-off", 1)
			a := r.agent(n.address(), token)
			at := r.gate.await("cut-off")
			r.wantState("cut-off", running)

			back := n.swallow(toServer, toAgents)
			cancel := must[*controlv1.CancelTaskResponse](t)(r.CancelTask(r.ctx, &controlv1.CancelTaskRequest{
				DagId: "dag", RunId: "run", TaskId: "cut-off", StopWithin: durationpb.New(time.Second),
			}))
			settled := r.wantEnd("cut-off", failed, cancelled, 0)
			if ended, by := settled.GetEndedAt().AsTime(), cancel.GetStopBy().AsTime(); ended.Before(by) {
				t.Errorf("settled at %v, before its deadline at %v", ended, by)
			}
			if !at.alive() {
				t.Error("the task ended while nobody told its agent")
			}

			back()
			at.gone()
			a.wantExit(0) // its report of that was heard (STATE-4)
			if at.alive() {
				t.Error("the task lives")
			}
			r.wantSame("cut-off", settled)
			client, ctx := r.wire(token)
			for _, state := range []agentv1.TaskState{agentv1.TaskState_TASK_STATE_RUNNING, agentv1.TaskState_TASK_STATE_SUCCESS} {
				got := must[*agentv1.ReportStateResponse](t)(client.ReportState(ctx, &agentv1.ReportStateRequest{State: state}))
				if !got.GetAcknowledged() || !got.GetShouldTerminate() || got.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED {
					t.Errorf("STATE-4: %v, once it is settled, is answered %v", state, got)
				}
			}
			r.wantState("healthy", running)
			visit.pass()
			healthy.wantExit(0)
			r.wantEnd("healthy", success, none, 0)
		})
	}
}
