package serversuite

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// single makes a check that one RPC, or a few, keep a rule.
func single(target *Target, rule, word, name string, run func(*world), rpcs ...catalogue.RPC) suite.Check {
	return suite.Check{
		ID: rule + "/" + word, Rule: rule, RPCs: rpcs, Name: name, Parallel: true,
		Run: func(t *suite.T) { run(newWorld(t, target)) },
	}
}

func startChecks(target *Target) []suite.Check {
	out := []suite.Check{
		single(target, "REG-1", "session", "the session is the task instance, and the clock is told", func(w *world) {
			a := w.launch(worker, queued)
			a.control(register, 1)
			first := typed[*agentv1.RegisterResponse](a, register, &agentv1.RegisterRequest{})
			second := typed[*agentv1.RegisterResponse](a, register, &agentv1.RegisterRequest{})
			if second.GetServerTime().AsTime().Before(first.GetServerTime().AsTime()) {
				w.t.Fatalf("the server's clock went back from %v to %v", first.GetServerTime().AsTime(), second.GetServerTime().AsTime())
			}
			if other := w.launch(stranger, queued); typed[*agentv1.RegisterResponse](other, register, &agentv1.RegisterRequest{}).GetSessionId() != other.ref.GetTaskInstanceId() {
				w.t.Fatalf("Register of another task did not return its task instance id")
			}
		}, register),
		single(target, "REG-2", "again", "registering again disturbs nothing", func(w *world) {
			a := w.launch(worker, queued)
			a.control(register, 1)
			a.accepted(agentv1.TaskState_TASK_STATE_RUNNING)
			before := a.stored()
			a.control(register, 2)
			if after := a.stored(); after.GetState() != running || !proto.Equal(before.GetStartedAt(), after.GetStartedAt()) || after.GetCancelRequested() {
				w.t.Fatalf("registering again changed the attempt from {%v} to {%v}", before, after)
			}
			a.control(heartbeat, 1)
			a.accepted(agentv1.TaskState_TASK_STATE_SUCCESS)
			a.wantState(success, "a report of SUCCESS")
		}, register),
		single(target, "SPEC-1", "every-field", "every field comes as it was stored", func(w *world) {
			for _, task := range []string{worker, source} {
				a := w.launch(task, queued)
				want := proto.CloneOf(w.specs[task])
				want.TenantId, want.DagId, want.DagVersion, want.RunId, want.TryNumber = w.tenant, w.dag, w.version, w.run, a.ref.GetTryNumber()
				got := typed[*agentv1.TaskSpec](a, getTaskSpec, &agentv1.GetTaskSpecRequest{})
				got.Extra = nil // what else an operator needs is the server's own
				if !proto.Equal(got, want) {
					w.t.Fatalf("the specification of %s is\n%v\nnot\n%v", task, got, want)
				}
			}
		}, getTaskSpec),
		single(target, "SPEC-2", "again", "asking again returns the same", func(w *world) {
			a := w.launch(worker, queued)
			a.control(getTaskSpec, 1)
			first := typed[*agentv1.TaskSpec](a, getTaskSpec, &agentv1.GetTaskSpecRequest{})
			a.accepted(agentv1.TaskState_TASK_STATE_RUNNING)
			for range 3 {
				if again := typed[*agentv1.TaskSpec](a, getTaskSpec, &agentv1.GetTaskSpecRequest{}); !proto.Equal(first, again) {
					w.t.Fatalf("the specification was {%v}, and is {%v}", first, again)
				}
			}
		}, getTaskSpec),
	}
	for _, end := range ends() {
		out = append(out, single(target, "REG-3", end.word, "an attempt that is "+end.word+" is refused", func(w *world) {
			a := w.launch(worker, running)
			a.control(register, 1)
			end.come(a)
			before := a.snapshot()
			_, err := w.call(register, a.as(), &agentv1.RegisterRequest{})
			w.wantCode(err, codes.FailedPrecondition, "Register of an attempt that is "+end.word)
			a.wantUnchanged(before, "the refused Register")
		}, register))
	}
	return out
}

// end is a way in which an attempt ceases to be live.
type end struct {
	word    string
	reasons []agentv1.TerminationReason // that a heartbeat may be told
	settled bool                        // it has an outcome
	come    func(*attempt)
}

func ends() []end {
	settle := func(cause controlv1.Cause) func(*attempt) { return func(a *attempt) { a.settle(cause) } }
	return []end{
		{"finished", []agentv1.TerminationReason{agentv1.TerminationReason_TERMINATION_REASON_FINISHED}, true, func(a *attempt) {
			a.accepted(agentv1.TaskState_TASK_STATE_SUCCESS)
		}},
		{"superseded", []agentv1.TerminationReason{agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED}, true, func(a *attempt) {
			a.w.launch(a.ref.GetTaskId(), queued)
		}},
		{"lost", []agentv1.TerminationReason{agentv1.TerminationReason_TERMINATION_REASON_LOST}, true, settle(controlv1.Cause_CAUSE_LOST)},
		{"timed-out", []agentv1.TerminationReason{agentv1.TerminationReason_TERMINATION_REASON_TIMED_OUT}, true, settle(controlv1.Cause_CAUSE_TIMED_OUT)},
		{"cancelled", []agentv1.TerminationReason{agentv1.TerminationReason_TERMINATION_REASON_CANCELLED}, false, func(a *attempt) {
			a.w.needs("cancel")
			a.cancel()
		}},
	}
}
