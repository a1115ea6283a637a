package serversuite

import (
	"fmt"
	"regexp"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// internals are texts that no client should read (ERR-1).
var internals = regexp.MustCompile(`(?i)sql|select .* from |insert into |update .* set|no rows|sqlite|postgres|pgx|mongo|redis|driver|` +
	`goroutine|\.go:\d|panic|stack|traceback|exception|errno|/(usr|var|tmp|home|etc|srv|opt)/|\.py\b|\.java\b|0x[0-9a-f]{6,}`)

// refusal is a way to be refused by the application.
type refusal struct {
	word string
	rpc  catalogue.RPC
	make func(*world) error
}

func refusals() []refusal {
	return []refusal{
		{"unauthenticated", heartbeat, func(w *world) error {
			w.launch(worker, running).control(heartbeat, 1)
			_, err := w.call(heartbeat, noCredential, &agentv1.HeartbeatRequest{})
			return err
		}},
		{"invalid", reportState, func(w *world) error {
			a := w.launch(worker, running)
			a.control(reportState, 1)
			_, err := w.call(reportState, a.as(), &agentv1.ReportStateRequest{})
			return err
		}},
		{"undeclared", fetchXCom, func(w *world) error {
			a := exercised(w, fetchXCom)
			a.control(fetchXCom, 1)
			_, err := a.fetch(stranger, "")
			return err
		}},
		{"absent", fetchXCom, func(w *world) error {
			a := exercised(w, fetchXCom)
			a.control(fetchXCom, 1)
			_, err := a.fetch(absent, "")
			return err
		}},
		{"not-live", pushXCom, func(w *world) error {
			a := w.launch(worker, running)
			a.control(pushXCom, 1)
			a.accepted(saySuccess)
			_, err := w.call(pushXCom, a.as(), &agentv1.PushXComRequest{Value: []byte("1")})
			return err
		}},
	}
}

func errorChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, r := range refusals() {
		out = append(out,
			single(target, "ERR-1", r.word, "the refusal has a correlation id, and nothing internal", r.tellsNothing, r.rpc),
			single(target, "ERR-3", r.word, "the refusal has a stable reason", r.hasReason, r.rpc))
	}
	for _, rpc := range agentRPCs() {
		if exercises[rpc].invalid != nil {
			out = append(out, cell("ERR-3", "field", rpc, "what is invalid is named", func(t *suite.T) { fieldNamed(newWorld(t, target), rpc) }))
		}
		out = append(out,
			cell("ERR-4", "unknown", rpc, "unknown fields and metadata are ignored", func(t *suite.T) { futureIgnored(newWorld(t, target), rpc) }),
			cell("LIMIT-1", "large", rpc, "a message that is too large ends its own call alone", func(t *suite.T) { tooLarge(t, target, rpc) }))
	}
	return out
}

// tellsNothing is the check of ERR-1.
func (r refusal) tellsNothing(w *world) {
	err := r.make(w)
	w.wantRefused(err)
	if found := internals.FindString(status.Convert(err).Message()); found != "" {
		w.t.Fatalf("the error says %q: %q", found, status.Convert(err).Message())
	}
	id := detail[*errdetails.RequestInfo](err).GetRequestId()
	if id == "" {
		w.t.Fatalf("the error has no google.rpc.RequestInfo with a request id")
	}
	if detail[*errdetails.RequestInfo](r.make(newWorld(w.t, w.target))).GetRequestId() == id {
		w.t.Fatalf("two calls have the correlation id %q", id)
	}
	if detail[*errdetails.DebugInfo](err) != nil {
		w.t.Fatalf("the error carries google.rpc.DebugInfo")
	}
}

// wantRefused stops the check of a server that takes what it should refuse: of that, and
// of the code of an error, other rules tell.
func (w *world) wantRefused(err error) {
	if err == nil {
		w.t.Untestable("the server takes what it should refuse, so there is no error to look at")
	}
}

// hasReason is the check of ERR-3 for every error.
func (r refusal) hasReason(w *world) {
	err := r.make(w)
	w.wantRefused(err)
	reason := detail[*errdetails.ErrorInfo](err).GetReason()
	if reason == "" {
		w.t.Fatalf("the error has no google.rpc.ErrorInfo with a reason")
	}
	if again := detail[*errdetails.ErrorInfo](r.make(newWorld(w.t, w.target))).GetReason(); again != reason {
		w.t.Fatalf("the reason is %q, and then %q", reason, again)
	}
}

func fieldNamed(w *world, rpc catalogue.RPC) {
	a := exercised(w, rpc)
	a.control(rpc, 1)
	request, field := exercises[rpc].invalid()
	_, err := w.call(rpc, a.as(), request)
	w.wantCode(err, codes.InvalidArgument, "an invalid "+rpc.Method())
	violations := detail[*errdetails.BadRequest](err).GetFieldViolations()
	if !slices.ContainsFunc(violations, func(v *errdetails.BadRequest_FieldViolation) bool { return v.GetField() == field }) {
		w.t.Fatalf("google.rpc.BadRequest names %v, not the field %s", violations, field)
	}
}

func futureIgnored(w *world, rpc catalogue.RPC) {
	a := exercised(w, rpc)
	a.control(rpc, 1)
	request := exercises[rpc].request(w, 2)
	extra := protowire.AppendTag(nil, 19999, protowire.BytesType)
	request.ProtoReflect().SetUnknown(protowire.AppendBytes(extra, []byte("from the future")))
	reply, err := w.call(rpc, a.as().with("x-from-the-future", "yes"), request)
	w.wantCode(err, codes.OK, rpc.Method()+" with an unknown field and unknown metadata")
	exercises[rpc].shows(a, 2, reply)
}

// detail finds a detail of an error; the zero value, nil: it has none.
func detail[T proto.Message](err error) T {
	var none T
	for _, d := range status.Convert(err).Details() {
		if found, ok := d.(T); ok {
			return found
		}
	}
	return none
}

// tooLarge sends more than any server takes, while a stream is open on the connection.
func tooLarge(t *suite.T, target *Target, rpc catalogue.RPC) {
	w := newWorld(t, target)
	a := exercised(w, rpc)
	a.control(rpc, 1)
	size := 2*max(int(w.target.Capabilities.GetMaxMessageBytes()), 4<<20) + 1
	var open *logStream
	if rpc != streamLogs { // of two streams of one attempt the one taken later goes on, whichever that is
		open = a.openLog()
		open.line("agent", 0, "before")
	}
	request := exercises[rpc].request(w, 2)
	request.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 19999, protowire.BytesType), make([]byte, size)))
	before := a.stored().GetState()
	_, err := w.call(rpc, a.as(), request)
	if err == nil && w.target.Capabilities.GetMaxMessageBytes() == 0 {
		t.Untestable(fmt.Sprintf("the fixtures do not tell the limit of a message, and one of %d bytes is under it", size))
	}
	w.wantCode(err, codes.ResourceExhausted, rpc.Method()+" of a message that is too large")
	if open != nil {
		open.line("agent", 0, "after")
		open.end()
	}
	if got := a.stored().GetState(); got != before {
		t.Fatalf("the call that was refused changed the attempt from %s to %s", before, got)
	}
	a.control(rpc, 2)
}
