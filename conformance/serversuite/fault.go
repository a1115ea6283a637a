package serversuite

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// faultChecks make the system fail, so none of them has another check beside it.
func faultChecks(target *Target) []suite.Check {
	out := []suite.Check{
		single(target, "BEAT-2", "hangs", "a store that hangs neither fails nor ends nor renews", beatWhileStoreHangs, heartbeat),
		single(target, "STATE-8", "hangs", "a store that hangs acknowledges nothing, and a report waits for it", reportWhileStoreHangs, reportState),
	}
	for i := range out {
		out[i].Parallel, out[i].Deadline = false, 30*time.Second
	}
	return out
}

// fault makes a fault that ends with the check, and returns what ends it before.
func (w *world) fault(fault conformancev1.Fault) (end func()) {
	if !slices.Contains(w.target.Capabilities.GetFaults(), fault) {
		w.t.Untestable("the fixtures cannot make the fault " + fault.String())
	}
	set := func(active bool) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), w.t.Scale(5*time.Second))
		defer cancel()
		_, err := w.target.Fixtures.SetFault(ctx, &conformancev1.SetFaultRequest{Fault: fault, Active: active})
		w.fixture("make or end a fault", err)
		w.t.Note("the fault %s is there: %v", fault, active)
	}
	w.t.Cleanup(func() { set(false) }) // whatever has become of the check
	set(true)
	return func() { set(false) }
}

func beatWhileStoreHangs(w *world) {
	a := w.launch(worker, running)
	a.control(heartbeat, 1)
	due := a
	if w.target.offers("renewal") {
		due = a.due()
	}
	end := w.fault(conformancev1.Fault_FAULT_STORE_HANGS)
	began := time.Now()
	got := due.beat()
	if took := time.Since(began); took > w.t.Scale(3*time.Second) {
		w.t.Fatalf("the heartbeat was answered after %v, not within 2 s", took)
	}
	if got.GetShouldTerminate() || got.GetRenewedToken() != "" || got.GetReason() != 0 || !got.GetServerTime().IsValid() {
		w.t.Fatalf("while the store hangs a heartbeat was answered {%v}", got)
	}
	end()
	a.control(heartbeat, 2)
}

func reportWhileStoreHangs(w *world) {
	a := w.launch(worker, queued)
	a.accepted(sayRunning)
	end := w.fault(conformancev1.Fault_FAULT_STORE_HANGS)
	report := func(ctx context.Context) (*agentv1.ReportStateResponse, error) {
		ctx = metadata.NewOutgoingContext(ctx, a.as().md)
		request := &agentv1.ReportStateRequest{State: saySuccess}
		reply, err := agentv1.NewAgentServiceClient(w.target.Conn).ReportState(ctx, request)
		w.t.Record(suite.Step{What: "as the agent of worker", RPC: reportState, Sent: request, Received: reply, Err: err})
		return reply, err
	}
	short, cancel := context.WithTimeout(w.t.Context(), w.t.Scale(time.Second))
	defer cancel()
	reply, err := report(short)
	if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.Internal {
		w.t.Fatalf("while the store hangs a report was answered %s, {%v}", name(code, err), reply)
	}
	a.wantState(running, "a report that could not be stored")
	type answer struct {
		reply *agentv1.ReportStateResponse
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		reply, err := report(w.t.Context())
		answered <- answer{reply, err}
	}()
	select {
	case early := <-answered:
		w.t.Fatalf("a report did not wait for the store: {%v}, %v", early.reply, early.err)
	case <-time.After(w.t.Scale(500 * time.Millisecond)): // long enough to be refused in
	}
	end()
	late := <-answered
	w.wantCode(late.err, codes.OK, "the report, once the store was back,")
	if !late.reply.GetAcknowledged() || late.reply.GetShouldTerminate() {
		w.t.Fatalf("the report, once the store was back, was answered {%v}", late.reply)
	}
	a.wantState(success, "the report")
}
