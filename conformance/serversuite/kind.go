package serversuite

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

const getRun = catalogue.RPC(controlv1.ControlService_GetRun_FullMethodName)

// kindChecks try a token of one kind on every RPC of the other kind (AUTH-7).
func kindChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, rpc := range agentRPCs() {
		out = append(out, cell("AUTH-7", "operator-token", rpc, "an operator's token is refused", func(t *suite.T) {
			w := newWorld(t, target)
			w.needs("operator")
			w.wantOperator()
			a := exercised(w, rpc)
			a.control(rpc, 1)
			a.wantUnauthenticated(rpc, w.operator(), exercises[rpc].request(w, 2))
		}))
	}
	for _, rpc := range controlRPCs() {
		out = append(out, cell("AUTH-7", "agent-token", rpc, "an agent's token is refused", func(t *suite.T) {
			w := newWorld(t, target)
			w.needs("operator")
			w.wantOperator()
			a := w.launch(worker, queued)
			a.control(heartbeat, 1)
			a.wantUnauthenticated(rpc, a.as(), newMessage(method(rpc).Input()))
			// An empty request of an operator may fail, but not for who calls.
			if method(rpc).IsStreamingServer() {
				return
			}
			_, err := w.call(rpc, w.operator(), newMessage(method(rpc).Input()))
			if code := status.Code(err); code == codes.Unauthenticated || code == codes.Unimplemented {
				t.Fatalf("%s with an operator's token was answered %s", rpc.Method(), code)
			}
		}))
	}
	return out
}

// operator is a good credential of an operator of the tenant.
func (w *world) operator() credential {
	return bearer("an operator of the tenant", w.mint(w.ref(worker), conformancev1.TokenDefect_TOKEN_DEFECT_OPERATOR))
}

// wantOperator is the positive control of an operator's token.
func (w *world) wantOperator() {
	reply, err := w.call(getRun, w.operator(), &controlv1.GetRunRequest{DagId: w.dag, RunId: w.run})
	w.wantCode(err, codes.OK, "the control, GetRun of an operator,")
	if got, ok := reply.(*controlv1.GetRunResponse); !ok || got.GetRun().GetRunId() != w.run {
		w.t.Fatalf("GetRun of an operator was answered {%v}, not the run %q", reply, w.run)
	}
}
