package serversuite

import (
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

func isoChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, rpc := range agentRPCs() {
		out = append(out,
			cell("ISO-1", "twin", rpc, "nothing crosses to a tenant whose every other name is the same", func(t *suite.T) {
				w := newWorld(t, target)
				apart(w, w.twinWorld(), rpc)
			}),
			cell("ISO-2", "other-run", rpc, "nothing crosses to another run of the DAG", func(t *suite.T) {
				w := newWorld(t, target)
				other := w.otherRun()
				if exercises[rpc].confidential { // secrets are the tenant's, not the run's
					other.canary = w.canary
				}
				apart(w, other, rpc)
			}),
			cell("ISO-3", "foreign", rpc, "an attempt that only another tenant has looks like none", func(t *suite.T) { foreignIsMissing(t, target, rpc) }),
			cell("ISO-4", "not-live", rpc, "a call of an attempt that ended leaves everything", func(t *suite.T) { refusedLeaves(t, target, rpc) }),
		)
	}
	return append(out,
		single(target, "ISO-5", "at-once", "a value is readable from the reply on, by those who may", func(w *world) {
			s, a := w.launch(source, running), w.launch(worker, running)
			lone := w.launch(stranger, running)
			for turn := range 5 {
				value := string(turned(w, turn))
				s.push("", value)
				a.wantFetch("", value)
				_, err := lone.fetch(source, "")
				w.wantCode(err, codes.PermissionDenied, "FetchXCom of a task that does not declare the source")
			}
		}, pushXCom, fetchXCom),
	)
}

// apart calls one RPC as a worker of each of two worlds in turn, and wants each to get
// and to change only what is its own.
func apart(w, other *world, rpc catalogue.RPC) {
	a, b := exercised(w, rpc), exercised(other, rpc)
	for i, caller := range []*attempt{a, b, a, b} {
		bystander := []*attempt{b, a, b, a}[i]
		before := bystander.snapshot()
		turn := i/2 + 1
		request := exercises[rpc].request(caller.w, turn)
		reply, err := caller.w.call(rpc, caller.as(), request)
		w.wantCode(err, codes.OK, rpc.Method()+" of "+caller.w.tenant)
		if reply == nil && rpc != streamLogs { // see control
			w.t.Fatalf("%s of %s was answered without a message", rpc.Method(), caller.w.tenant)
		}
		exercises[rpc].shows(caller, turn, reply)
		if canary := bystander.w.canary; canary != caller.w.canary && strings.Contains(plain(reply), canary) {
			w.t.Fatalf("%s of %s, %s returned what is of %s, %s: {%v}", rpc.Method(), caller.w.tenant, caller.w.run, bystander.w.tenant, bystander.w.run, reply)
		}
		bystander.wantUnchanged(before, rpc.Method()+" of "+caller.w.tenant+", "+caller.w.run)
	}
}

// plain is all text of a message.
func plain(m proto.Message) string {
	if fetched, ok := m.(*agentv1.FetchXComResponse); ok {
		return string(fetched.GetValue())
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// foreignIsMissing wants the same answer for an attempt that exists in another tenant
// only, and for one that exists nowhere.
func foreignIsMissing(t *suite.T, target *Target, rpc catalogue.RPC) {
	w := newWorld(t, target)
	a := exercised(w, rpc)
	a.control(rpc, 1)
	before := a.snapshot()
	tenant := "nobody-" + w.ids
	foreign, missing := proto.CloneOf(a.ref), proto.CloneOf(a.ref)
	foreign.TenantId = tenant
	missing.TenantId, missing.TaskInstanceId = tenant, "missing-"+w.ids
	var replies []proto.Message
	var errs []*status.Status
	var answers []string // but for the name of the attempt, which the caller said
	for _, ref := range []*attempt{{w: w, ref: foreign}, {w: w, ref: missing}} {
		ref.token = w.mint(ref.ref, 0)
		reply, err := w.call(rpc, ref.as(), exercises[rpc].request(w, 2))
		replies, errs = append(replies, timeless(reply)), append(errs, masked(err))
		answers = append(answers, strings.ReplaceAll(answer(timeless(reply), err), ref.ref.GetTaskInstanceId(), "…"))
	}
	if errs[0].Code() == codes.Unauthenticated {
		t.Fatalf("%s with a good token of an attempt that is unknown was answered %s", rpc.Method(), errs[0].Code())
	}
	if answers[0] != answers[1] {
		t.Fatalf("of an attempt of another tenant %s says {%v} {%v}, and of a missing one {%v} {%v}", rpc.Method(), errs[0].Proto(), replies[0], errs[1].Proto(), replies[1])
	}
	if strings.Contains(plain(replies[0])+errs[0].String(), w.canary) {
		t.Fatalf("%s of another tenant's attempt told what is the tenant's: {%v} {%v}", rpc.Method(), replies[0], errs[0].Proto())
	}
	a.wantUnchanged(before, rpc.Method()+" of an attempt in another tenant")
}

// masked is a status without its correlation id.
func masked(err error) *status.Status {
	if err == nil {
		return nil
	}
	p := proto.CloneOf(status.Convert(err).Proto())
	kept := p.GetDetails()[:0]
	for _, detail := range p.GetDetails() {
		if !detail.MessageIs((*errdetails.RequestInfo)(nil)) {
			kept = append(kept, detail)
		}
	}
	p.Details = kept
	return status.FromProto(p)
}

// timeless is a reply without what the server's clock and its load make of it.
func timeless(reply proto.Message) proto.Message {
	switch reply := reply.(type) {
	case *agentv1.HeartbeatResponse:
		out := proto.CloneOf(reply)
		out.ServerTime, out.BeatInterval = nil, nil
		return out
	case *agentv1.RegisterResponse:
		out := proto.CloneOf(reply)
		out.ServerTime = nil
		return out
	case nil:
		return nil
	}
	return reply
}

// refusedLeaves calls as an attempt whose outcome is there: whatever the answer, what is
// stored stays. Logs may still be written for a while.
func refusedLeaves(t *suite.T, target *Target, rpc catalogue.RPC) {
	w := newWorld(t, target)
	a := exercised(w, rpc)
	a.control(rpc, 1)
	newer := w.launch(worker, running)
	before, own := newer.snapshot(), a.snapshot()
	_, err := w.call(rpc, a.as(), exercises[rpc].request(w, 2))
	newer.wantUnchanged(before, rpc.Method()+" of a superseded attempt")
	if err != nil {
		a.wantUnchanged(own, "the refused "+rpc.Method())
	}
}
