package serversuite

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// operateChecks are of what operators may do.
func operateChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, rpc := range controlRPCs() {
		policy, _ := proto.GetExtension(method(rpc).Options(), policyv1.E_Method).(*policyv1.MethodPolicy)
		if policy.GetRole() == policyv1.Role_ROLE_VIEWER {
			out = append(out, cell("AUTH-11", "viewer-may", rpc, "is open to who may read", func(t *suite.T) {
				w := newWorld(t, target)
				w.needs("operator")
				w.launch(worker, running)
				_, err := w.call(rpc, w.viewer(), w.operation(rpc))
				if code := status.Code(err); code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.Unimplemented {
					t.Fatalf("%s of an operator who may read was answered %s", rpc.Method(), code)
				}
				w.wantOperator()
			}))
			continue
		}
		out = append(out, cell("AUTH-11", "viewer-may-not", rpc, "is closed to who may only read", func(t *suite.T) { roleBinds(newWorld(t, target), rpc) }))
	}
	return append(out, single(target, "STATE-11", "settles", "an operator settles an attempt, once", operatorSettles,
		catalogue.RPC(controlv1.ControlService_SettleAttempt_FullMethodName)))
}

func (w *world) viewer() credential {
	return bearer("an operator who may only read", w.mint(w.ref(worker), conformancev1.TokenDefect_TOKEN_DEFECT_VIEWER))
}

// roleBinds wants a call refused of who may only read, and taken of who may do all.
func roleBinds(w *world, rpc catalogue.RPC) {
	w.needs("operator")
	w.wantOperator()
	reply, err := w.call(getRun, w.viewer(), &controlv1.GetRunRequest{DagId: w.dag, RunId: w.run})
	w.wantCode(err, codes.OK, "the control, GetRun of who may only read,")
	if got, ok := reply.(*controlv1.GetRunResponse); !ok || got.GetRun().GetRunId() != w.run {
		w.t.Fatalf("GetRun of who may only read was answered {%v}", reply)
	}
	a := w.launch(worker, running)
	before := a.snapshot()
	_, err = w.call(rpc, w.viewer(), w.operation(rpc))
	w.wantCode(err, codes.PermissionDenied, rpc.Method()+" of who may only read")
	a.wantUnchanged(before, "the refused "+rpc.Method())
	_, err = w.call(rpc, w.operator(), w.operation(rpc))
	confidential := w.target.Confidential || w.target.Capabilities.GetPlaintextSecrets()
	switch code := status.Code(err); {
	case code == codes.Unauthenticated, code == codes.Unimplemented, code == codes.PermissionDenied && confidential:
		w.t.Fatalf("%s of who may do all was answered %s", rpc.Method(), code)
	case code == codes.InvalidArgument:
		w.t.Broken("the request of %s is not valid: %v", rpc.Method(), err)
	}
}

// operation is a valid request of an operator about the world's run. A new RPC whose
// fields have names of their own needs them here: a test holds that.
func (w *world) operation(rpc catalogue.RPC) proto.Message {
	request := newMessage(method(rpc).Input())
	if r, ok := request.(*controlv1.CreateRunRequest); ok {
		r.DagId, r.RunId = w.dag, w.run+"-new"
		r.Tasks = []*controlv1.TaskDefinition{{TaskId: "task", Operator: "bash", Entrypoint: "true"}}
		return r
	}
	texts := map[protoreflect.Name]string{
		"dag_id": w.dag, "run_id": w.run, "task_id": worker, "key": "KEY", "connection_id": "connection", "uri": "x://y", "value": "value",
	}
	numbers := map[protoreflect.Name]protoreflect.Value{
		"try_number": protoreflect.ValueOfInt32(1),
		"cause":      protoreflect.ValueOfEnum(controlv1.Cause_CAUSE_LOST.Number()),
		"state":      protoreflect.ValueOfEnum(policyv1.TaskState_TASK_STATE_SKIPPED.Number()),
		"scope":      protoreflect.ValueOfEnum(1),
	}
	m := request.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		text, isText := texts[field.Name()]
		number, isNumber := numbers[field.Name()]
		switch {
		case isText && field.Kind() == protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(text))
		case isNumber && (field.Kind() == protoreflect.Int32Kind || field.Kind() == protoreflect.EnumKind):
			m.Set(field, number)
		case field.Name() == "within":
			m.Set(field, protoreflect.ValueOfMessage(durationpb.New(60e9).ProtoReflect()))
		}
	}
	return request
}

// operatorSettles is the check of STATE-11.
func operatorSettles(w *world) {
	w.needs("operator")
	settle := func(a *attempt, cause controlv1.Cause) *controlv1.SettleAttemptResponse {
		reply, err := w.call(catalogue.RPC(controlv1.ControlService_SettleAttempt_FullMethodName), w.operator(), &controlv1.SettleAttemptRequest{
			DagId: w.dag, RunId: w.run, TaskId: a.ref.GetTaskId(), TryNumber: a.ref.GetTryNumber(), Cause: cause, ExitCode: 137, Message: "killed",
		})
		w.wantCode(err, codes.OK, "SettleAttempt")
		got, _ := reply.(*controlv1.SettleAttemptResponse)
		return got
	}
	dead := w.launch(worker, running)
	if got := settle(dead, controlv1.Cause_CAUSE_LAUNCH_FAILED); !got.GetSettled() {
		w.t.Fatalf("SettleAttempt of a live attempt was answered {%v}", got)
	}
	if got := dead.stored(); got.GetState() != failed || got.GetCause() != controlv1.Cause_CAUSE_LAUNCH_FAILED || got.GetExitCode() != 137 || got.GetErrorMessage() != "killed" {
		w.t.Fatalf("of an attempt that was settled {%v} is stored", got)
	}
	before := dead.snapshot()
	if got := settle(dead, controlv1.Cause_CAUSE_LOST); got.GetSettled() {
		w.t.Fatalf("SettleAttempt of a settled attempt was answered {%v}", got)
	}
	dead.wantUnchanged(before, "settling it once more")
	well := w.launch(stranger, running)
	well.accepted(saySuccess)
	of := well.snapshot()
	if got := settle(well, controlv1.Cause_CAUSE_LOST); got.GetSettled() {
		w.t.Fatalf("SettleAttempt of an attempt that succeeded was answered {%v}", got)
	}
	well.wantUnchanged(of, "settling an attempt that succeeded")
}
