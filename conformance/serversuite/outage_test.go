package serversuite

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// faulty is fixtures that can make every fault.
type faulty struct {
	conformancev1.FixtureServiceClient
}

func (faulty) SetFault(context.Context, *conformancev1.SetFaultRequest, ...grpc.CallOption) (*conformancev1.SetFaultResponse, error) {
	return &conformancev1.SetFaultResponse{}, nil
}

// patient waits for its store for as long as its caller does.
type patient struct{ taking }

func (*patient) GetTaskSpec(ctx context.Context, _ *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestAServerThatWaitsForItsStoreTellsNothing has one whose every call does: no rule says
// for how long at most, and there is no error to look at.
func TestAServerThatWaitsForItsStoreTellsNothing(t *testing.T) {
	got := within(t, &patient{}, func(a *attempt) {
		a.w.target.Fixtures = faulty{}
		a.w.target.Capabilities.Faults = []conformancev1.Fault{conformancev1.Fault_FAULT_STORE_DOWN}
		storeTellsNothing(a.w, group{"agents", []catalogue.RPC{getTaskSpec}, func(w *world, _ []catalogue.RPC) []faultyCall {
			return []faultyCall{{w, getTaskSpec, a.as(), func() proto.Message { return &agentv1.GetTaskSpecRequest{} }, func() {}}}
		}})
	})
	if got.Status != suite.Untestable {
		t.Errorf("%s: %s", got.Status, got.Reason)
	}
}
