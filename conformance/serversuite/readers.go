package serversuite

import (
	"google.golang.org/grpc/codes"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

const getXCom = catalogue.RPC(controlv1.ControlService_GetXCom_FullMethodName)

// readerChecks are of who reads a value, from the reply to its push on (ISO-5).
func readerChecks(target *Target) []suite.Check {
	return []suite.Check{
		single(target, "ISO-5", "readers", "a value is readable by the tasks that declare its source, and by no others", exactReaders, pushXCom, fetchXCom),
		single(target, "ISO-5", "operators", "a value is readable by operators of its tenant, and by no others", exactOperators, pushXCom, getXCom),
	}
}

func exactReaders(w *world) {
	other, twin := w.otherRun(), w.twinWorld()
	s, may := w.launch(source, running), w.launch(worker, running)
	undeclared := w.launch(stranger, running)
	elsewhere := map[string]*attempt{"another run": other.launch(worker, running), "another tenant": twin.launch(worker, running)}
	for turn := range 3 {
		value := string(turned(w, turn))
		s.push("", value)
		may.wantFetch("", value)
		_, err := undeclared.fetch(source, "")
		w.wantCode(err, codes.PermissionDenied, "FetchXCom of a task that does not declare the source")
		for where, a := range elsewhere {
			_, err := a.fetch(source, "")
			w.wantCode(err, codes.NotFound, "FetchXCom of that task in "+where)
		}
	}
	may.accepted(saySuccess)
	_, err := may.fetch(source, "")
	w.wantCode(err, codes.FailedPrecondition, "FetchXCom of an attempt that has ended")
	w.launch(worker, running).wantFetch("", string(turned(w, 2)))
}

func exactOperators(w *world) {
	w.needs("operator")
	w.wantOperator()
	twin := w.twinWorld()
	s := w.launch(source, running)
	request := &controlv1.GetXComRequest{DagId: w.dag, RunId: w.run, TaskId: source}
	for turn := range 3 {
		value := string(turned(w, turn))
		s.push("", value)
		for _, as := range []credential{w.operator(), w.viewer()} {
			reply, err := w.call(getXCom, as, request)
			w.wantCode(err, codes.OK, "GetXCom of "+as.name)
			if got, _ := reply.(*controlv1.GetXComResponse); string(got.GetValue()) != value {
				w.t.Fatalf("right after %s was pushed, GetXCom of %s returned %q", value, as.name, got.GetValue())
			}
		}
		_, err := w.call(getXCom, twin.operator(), request)
		w.wantCode(err, codes.NotFound, "GetXCom of an operator of another tenant")
	}
}
