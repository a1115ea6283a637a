package serversuite

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// faultChecks make the system fail, so none of them has another check beside it.
func faultChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, failing := range []struct {
		word, name string
		fault      conformancev1.Fault
	}{
		{"hangs", "hangs", conformancev1.Fault_FAULT_STORE_HANGS}, {"down", "answers with errors", conformancev1.Fault_FAULT_STORE_DOWN},
	} {
		out = append(out,
			single(target, "BEAT-2", failing.word, "a store that "+failing.name+" neither fails nor ends nor renews", func(w *world) {
				beatWithoutStore(w, failing.fault)
			}, heartbeat),
			single(target, "STATE-8", failing.word, "a store that "+failing.name+" acknowledges nothing, and a report waits for it", func(w *world) {
				reportWithoutStore(w, failing.fault)
			}, reportState))
	}
	for i := range out {
		out[i].Parallel, out[i].Deadline = false, 30*time.Second
	}
	return out
}

// fault makes a fault that ends with the check, and returns what ends it before.
func (w *world) fault(fault conformancev1.Fault) (end func()) {
	w.makes(fault)
	set := func(active bool) error {
		ctx, cancel := w.afterwards()
		defer cancel()
		_, err := w.target.Fixtures.SetFault(ctx, &conformancev1.SetFaultRequest{Fault: fault, Active: active})
		w.t.Note("the fault %s is there: %v", fault, active)
		w.reach(ctx)
		return err
	}
	w.t.Cleanup(func() { // whatever has become of the check
		if err := set(false); err != nil {
			w.t.Errorf("the fault %s could not be ended: %v", fault, err)
		}
	})
	w.fixture("make a fault", set(true))
	return func() { w.fixture("end a fault", set(false)) }
}

// makes stops the check where the fixtures cannot make a fault.
func (w *world) makes(fault conformancev1.Fault) {
	if !slices.Contains(w.target.Capabilities.GetFaults(), fault) {
		w.t.Untestable("the fixtures cannot make the fault " + fault.String())
	}
}

// reach returns once the server answers, whatever it does: a fixture may have had to
// start it anew, and a connection that broke should meet no check. One that keeps saying
// UNAVAILABLE says it itself.
func (w *world) reach(ctx context.Context) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for range 5 {
		_, err := agentv1.NewAgentServiceClient(w.target.Conn).Heartbeat(ctx, &agentv1.HeartbeatRequest{}, grpc.WaitForReady(true))
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

func beatWithoutStore(w *world, fault conformancev1.Fault) {
	a := w.launch(worker, running)
	a.control(heartbeat, 1)
	due := a
	if w.target.offers("renewal") {
		due = a.due()
	}
	end := w.fault(fault)
	began := time.Now()
	got := due.beat()
	if took := time.Since(began); took > w.t.Scale(3*time.Second) {
		w.t.Fatalf("the heartbeat was answered after %v, not within 2 s", took)
	}
	if got.GetShouldTerminate() || got.GetRenewedToken() != "" || got.GetReason() != 0 || !got.GetServerTime().IsValid() {
		w.t.Fatalf("while the store fails a heartbeat was answered {%v}", got)
	}
	end()
	a.control(heartbeat, 2)
}

func reportWithoutStore(w *world, fault conformancev1.Fault) {
	hangs := fault == conformancev1.Fault_FAULT_STORE_HANGS // which may be looked at meanwhile
	a := w.launch(worker, queued)
	a.accepted(sayRunning)
	end := w.fault(fault)
	report := func(ctx context.Context) (*agentv1.ReportStateResponse, error) {
		ctx = metadata.NewOutgoingContext(ctx, a.as().md)
		request := &agentv1.ReportStateRequest{State: saySuccess}
		reply, err := agentv1.NewAgentServiceClient(w.target.Conn).ReportState(ctx, request)
		w.t.Record(suite.Step{What: "as the agent of worker", RPC: reportState, Sent: request, Received: reply, Err: err})
		return reply, err
	}
	short, cancel := context.WithTimeout(w.t.Context(), w.t.Scale(400*time.Millisecond))
	defer cancel()
	reply, err := report(short)
	if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.Internal {
		w.t.Fatalf("while the store fails a report was answered %s, {%v}", name(code, err), reply)
	}
	if hangs {
		a.wantState(running, "a report that could not be stored")
	}
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
		if hangs || status.Code(early.err) != codes.Internal {
			w.t.Fatalf("a report did not wait for the store: {%v}, %v", early.reply, early.err)
		}
		// The server takes it for an error that no waiting mends.
		end()
		a.accepted(saySuccess)
		a.wantState(success, "the report, made again")
		return
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
