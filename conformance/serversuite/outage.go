package serversuite

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// group is RPCs that one check tries while a fault is there: making it for each would
// hold up all other checks each time.
type group struct {
	word string
	rpcs []catalogue.RPC
	// calls prepares a right call of each of the RPCs, and shows that it is taken.
	calls func(*world, []catalogue.RPC) []faultyCall
}

// faultyCall is a call to be made while a fault is there, and once more after it.
type faultyCall struct {
	w       *world
	rpc     catalogue.RPC
	as      credential
	request func() proto.Message
	after   func() // shows that it is taken again
}

func groups() []group {
	confidential := func(rpc catalogue.RPC) bool { return exercises[rpc].confidential }
	return []group{
		{"agents", slices.DeleteFunc(agentRPCs(), confidential), agentCalls},
		{"secrets", slices.DeleteFunc(agentRPCs(), func(rpc catalogue.RPC) bool { return !confidential(rpc) }), agentCalls},
		{"operators", controlRPCs(), operatorCalls},
	}
}

// outageChecks are of what every RPC says when its server fails inside.
func outageChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, g := range groups() {
		out = append(out,
			single(target, "ERR-1", "store-down/"+g.word, "what a store says that fails reaches nobody", func(w *world) { storeTellsNothing(w, g) }, g.rpcs...),
			single(target, "ERR-2", "panic/"+g.word, "a panic is INTERNAL, and the server goes on", func(w *world) { panicSurvived(w, g) }, g.rpcs...))
	}
	for i := range out {
		out[i].Parallel, out[i].Deadline = false, 30*time.Second
	}
	return out
}

func agentCalls(w *world, rpcs []catalogue.RPC) []faultyCall {
	var out []faultyCall
	for _, rpc := range rpcs {
		of := newWorld(w.t, w.target)
		a := exercised(of, rpc)
		a.control(rpc, 1)
		out = append(out, faultyCall{
			of, rpc, a.as(), func() proto.Message { return exercises[rpc].request(of, 1) }, func() { a.control(rpc, 2) },
		})
	}
	return out
}

func operatorCalls(w *world, rpcs []catalogue.RPC) []faultyCall {
	w.needs("operator")
	w.wantOperator()
	w.launch(worker, running)
	as := w.operator()
	var out []faultyCall
	for _, rpc := range rpcs {
		out = append(out, faultyCall{w, rpc, as, func() proto.Message { return w.operation(rpc) }, w.wantOperator})
	}
	return out
}

// outcome is how a call ended.
type outcome struct {
	faultyCall
	reply proto.Message
	err   error
}

// callAll makes all calls at once, and waits for none longer than ctx.
func callAll(ctx context.Context, calls []faultyCall) []outcome {
	out := make([]outcome, len(calls))
	var under sync.WaitGroup
	for i, c := range calls {
		under.Go(func() {
			out[i].faultyCall = c
			out[i].reply, out[i].err = c.w.callIn(ctx, c.rpc, c.as, c.request())
		})
	}
	under.Wait()
	return out
}

func storeTellsNothing(w *world, g group) {
	calls := g.calls(w, g.rpcs)
	end := w.fault(conformancev1.Fault_FAULT_STORE_DOWN)
	failed, waiting, ids := 0, 0, map[string]bool{}
	ctx, cancel := context.WithTimeout(w.t.Context(), w.t.Scale(3*time.Second)) // some may wait for the store
	defer cancel()
	for _, got := range callAll(ctx, calls) {
		switch code := status.Code(got.err); code {
		case codes.OK: // it could answer without
			continue
		case codes.DeadlineExceeded, codes.Canceled:
			waiting++
			continue
		case codes.Unavailable, codes.Internal, codes.Unknown, codes.Aborted, codes.DataLoss:
			failed++
		}
		got.wantNothingTold()
		id := detail[*errdetails.RequestInfo](got.err).GetRequestId()
		if id == "" || ids[id] {
			w.t.Fatalf("the error of %s has no correlation id of its own in google.rpc.RequestInfo: %q", got.rpc.Method(), id)
		}
		ids[id] = true
	}
	if failed == 0 && waiting > 0 {
		w.t.Untestable("a call that takes the store waits for it, so there is no error to look at")
	}
	if failed == 0 {
		w.t.Fatalf("the store answers with errors, and no call failed for it")
	}
	end()
	for _, c := range calls {
		c.after()
	}
}

// wantNothingTold fails the check if an error says what is inside the server.
func (o outcome) wantNothingTold() {
	s := status.Convert(o.err)
	texts := []string{s.Message()}
	for _, d := range s.Details() {
		if m, ok := d.(proto.Message); ok {
			if id, isID := m.(*errdetails.RequestInfo); isID { // which may spell anything
				id.RequestId = ""
			}
			text, err := protojson.Marshal(m)
			if err != nil {
				o.w.t.Fatalf("a detail of the error of %s is no JSON: %v", o.rpc.Method(), err)
			}
			texts = append(texts, string(text))
		}
	}
	for _, text := range texts {
		if found := internals.FindString(text); found != "" {
			o.w.t.Fatalf("the error of %s says %q: %q", o.rpc.Method(), found, text)
		}
	}
	if detail[*errdetails.DebugInfo](o.err) != nil {
		o.w.t.Fatalf("the error of %s carries google.rpc.DebugInfo", o.rpc.Method())
	}
}

func panicSurvived(w *world, g group) {
	calls := g.calls(w, g.rpcs)
	end := w.fault(conformancev1.Fault_FAULT_PANIC)
	for _, got := range callAll(w.t.Context(), calls) {
		if !w.travels(got.rpc) && status.Code(got.err) == codes.PermissionDenied {
			continue // it never came to its handler
		}
		w.wantCode(got.err, codes.Internal, got.rpc.Method()+", whose handler panicked,")
		if got.reply != nil {
			w.t.Fatalf("%s, whose handler panicked, was answered {%v}", got.rpc.Method(), got.reply)
		}
		got.wantNothingTold()
	}
	end()
	for _, c := range calls {
		c.after()
	}
}

// travels reports whether an RPC's messages may go over the connection (SECRET-1).
func (w *world) travels(rpc catalogue.RPC) bool {
	policy, _ := proto.GetExtension(method(rpc).Options(), policyv1.E_Method).(*policyv1.MethodPolicy)
	return policy.GetConfidentiality() != policyv1.Confidentiality_CONFIDENTIALITY_REQUIRED ||
		w.target.Confidential || w.target.Capabilities.GetPlaintextSecrets()
}
