package serversuite

import (
	"time"

	"google.golang.org/grpc/codes"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// undeliveredChecks are of secrets that a server has not, or may not deliver (SECRET-5).
func undeliveredChecks(target *Target) []suite.Check {
	var out []suite.Check
	add := func(word, name string, fault conformancev1.Fault) {
		c := single(target, "SECRET-5", word, name, func(w *world) { nothingDelivered(w, fault) }, secretRPCs...)
		c.Parallel, c.Deadline = false, 30*time.Second
		out = append(out, c)
	}
	add("not-configured", "a server without secrets is UNAVAILABLE", conformancev1.Fault_FAULT_NO_SECRETS)
	add("no-record", "no record, no delivery", conformancev1.Fault_FAULT_NO_AUDIT)
	return out
}

// nothingDelivered asks for secrets while a fault is there, before it and after it. A
// server that has none needs no fault for that.
func nothingDelivered(w *world, fault conformancev1.Fault) {
	if fault == conformancev1.Fault_FAULT_NO_SECRETS && !w.target.offers("secrets") {
		a := w.launch(worker, running)
		a.control(getTaskSpec, 1)
		a.wantUnavailable("of a server without secrets")
		return
	}
	w.needs("secrets")
	w.secretsTravel()
	giveSecrets(w)
	a := w.launch(worker, running)
	for _, rpc := range secretRPCs {
		a.control(rpc, 1)
	}
	before := len(w.deliveries())
	end := w.fault(fault)
	a.control(getTaskSpec, 1) // all else works
	a.wantUnavailable("under " + fault.String())
	end()
	if got := len(w.deliveries()); got != before {
		w.t.Fatalf("nothing was delivered, and %d records of it are there", got-before)
	}
	for _, rpc := range secretRPCs {
		a.control(rpc, 1)
	}
}

// wantUnavailable asks for secrets that must not come.
func (a *attempt) wantUnavailable(when string) {
	for _, rpc := range secretRPCs {
		reply, err := a.w.call(rpc, a.as(), exercises[rpc].request(a.w, 1))
		a.w.wantCode(err, codes.Unavailable, rpc.Method()+" "+when)
		if reply != nil {
			a.w.t.Fatalf("%s %s was refused, and delivered %v", rpc.Method(), when, sortedNames(secretsOf(reply)))
		}
	}
}
