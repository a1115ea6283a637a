package serversuite

import (
	"bytes"
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

func xcomChecks(target *Target) []suite.Check {
	out := append(pushChecks(target), fetchChecks(target)...)
	expires := single(target, "XCOM-8", "expires", "the value lives as long as was told, and no longer", xcomExpires, pushXCom)
	expires.Parallel = false // it moves everybody's clock
	out = append(out, expires)
	for _, end := range ends() {
		if !end.settled {
			continue
		}
		out = append(out,
			single(target, "XCOM-6", end.word, "a push of an attempt that is "+end.word+" is refused", func(w *world) { pushAfter(w, end) }, pushXCom),
			single(target, "XCOM-7", end.word, "a fetch of an attempt that is "+end.word+" is refused", func(w *world) { fetchAfter(w, end) }, fetchXCom),
		)
	}
	return out
}

func pushAfter(w *world, end end) {
	s := w.launch(source, running)
	s.push("", "while live")
	end.come(s)
	before := s.snapshot()
	_, err := w.call(pushXCom, s.as(), &agentv1.PushXComRequest{Value: []byte("after the end")})
	w.wantCode(err, codes.FailedPrecondition, "PushXCom of an attempt that is "+end.word)
	s.wantUnchanged(before, "the refused push")
}

func fetchAfter(w *world, end end) {
	w.publish("while live")
	a := w.launch(worker, running)
	a.wantFetch("", "while live")
	end.come(a)
	got, err := a.fetch(source, "")
	w.wantCode(err, codes.FailedPrecondition, "FetchXCom of an attempt that is "+end.word)
	if len(got.GetValue()) > 0 {
		w.t.Fatalf("the refused fetch returned %q", got.GetValue())
	}
}

func pushChecks(target *Target) []suite.Check {
	return []suite.Check{
		single(target, "XCOM-1", "empty-key", "an empty key means return_value, both ways", func(w *world) {
			s := w.launch(source, running)
			s.push("", "pushed")
			if got := w.value(source, "return_value"); string(got) != "pushed" {
				w.t.Fatalf("under return_value %q is stored, not what was pushed under the empty key", got)
			}
			a := w.launch(worker, running)
			a.wantFetch("", "pushed")
			a.wantFetch("return_value", "pushed")
		}, pushXCom, fetchXCom),
		single(target, "XCOM-1", "own-identity", "a value is stored as the caller's own", func(w *world) {
			s, other := w.launch(source, running), w.launch(stranger, running)
			s.push("other", "of source")
			other.push("other", "of stranger")
			a, b := w.value(source, "other"), w.value(stranger, "other")
			if string(a) != "of source" || string(b) != "of stranger" || w.value(source, "return_value") != nil {
				w.t.Fatalf("stored are %q and %q", a, b)
			}
			w.launch(worker, running).wantFetch("other", "of source")
		}, pushXCom, fetchXCom),
		single(target, "XCOM-2", "limit", "a value over the limit is answered, not refused", xcomLimit, pushXCom),
		single(target, "XCOM-3", "mismatch", "a value against the schema is answered, and not stored", xcomSchema, pushXCom),
		single(target, "XCOM-6", "replaces", "a second push replaces the first", func(w *world) {
			s := w.launch(source, running)
			s.push("", "first")
			a := w.launch(worker, running)
			a.wantFetch("", "first")
			s.push("", "second")
			a.wantFetch("", "second")
		}, pushXCom),
		single(target, "XCOM-6", "cancelled", "while a cancel is pending a push is taken", func(w *world) {
			w.needs("cancel")
			s := w.launch(source, running)
			s.push("", "first")
			s.cancel()
			s.push("", "second")
			if got := w.value(source, "return_value"); string(got) != "second" {
				w.t.Fatalf("%q is stored", got)
			}
		}, pushXCom),
		single(target, "XCOM-8", "told", "the life of a value is told", func(w *world) {
			s := w.launch(source, running)
			told := time.Duration(s.push("", "1").GetTtlSeconds()) * time.Second
			if want := w.target.Capabilities.GetXcomTtl().AsDuration(); want > 0 && told != want.Truncate(time.Second) || told <= 0 {
				w.t.Fatalf("the life is told as %v; the server says that it is %v", told, want)
			}
		}, pushXCom),
	}
}

func fetchChecks(target *Target) []suite.Check {
	return []suite.Check{
		single(target, "XCOM-4", "bytes", "a value comes back byte for byte", xcomBytes, pushXCom, fetchXCom),
		single(target, "XCOM-5", "undeclared", "an undeclared source is refused, be it there or not", func(w *world) {
			w.launch(stranger, running).push("", "not for you")
			w.publish("for you")
			a := w.launch(worker, running)
			a.wantFetch("", "for you")
			for _, task := range []string{stranger, worker, "no such task"} {
				_, err := a.fetch(task, "")
				w.wantCode(err, codes.PermissionDenied, "FetchXCom from "+task)
			}
			lone := w.launch(absent, running)
			_, err := lone.fetch(source, "")
			w.wantCode(err, codes.PermissionDenied, "FetchXCom of a task that declares nothing")
		}, fetchXCom),
		single(target, "XCOM-5", "absent", "a declared source without a value is NOT_FOUND", func(w *world) {
			w.publish("for you")
			a := w.launch(worker, running)
			a.wantFetch("", "for you")
			for _, one := range []struct{ task, key string }{{absent, ""}, {source, "no such key"}} {
				_, err := a.fetch(one.task, one.key)
				w.wantCode(err, codes.NotFound, "FetchXCom of "+one.task+", key "+one.key)
			}
		}, fetchXCom),
		single(target, "XCOM-7", "clean", "a retry starts clean", func(w *world) {
			s := w.launch(source, running)
			s.push("", "of try 1")
			s.accepted(sayFailed)
			a := w.launch(worker, running)
			a.wantFetch("", "of try 1")
			again := w.launch(source, running)
			_, err := a.fetch(source, "")
			w.wantCode(err, codes.NotFound, "FetchXCom of a source whose new try has pushed nothing")
			again.push("", "of try 2")
			a.wantFetch("", "of try 2")
		}, fetchXCom),
	}
}

func xcomLimit(w *world) {
	limit := int(w.target.Capabilities.GetXcomMaxBytes())
	if limit <= 0 {
		w.t.Untestable("the fixtures do not tell the limit of a value")
	}
	s := w.launch(source, running)
	full := strings.Repeat("x", limit)
	s.push("", full)
	if got := w.value(source, "return_value"); string(got) != full {
		w.t.Fatalf("of a value at the limit %d bytes are stored", len(got))
	}
	before := s.snapshot()
	for _, over := range []int{1, 1 << 20} {
		got := typed[*agentv1.PushXComResponse](s, pushXCom, &agentv1.PushXComRequest{Value: make([]byte, limit+over)})
		if got.GetAccepted() || got.GetRejectionReason() != "payload_too_large" {
			w.t.Fatalf("a value %d bytes over the limit was answered {%v}", over, got)
		}
	}
	s.wantNothingStored(before, "a value over the limit")
}

func xcomSchema(w *world) {
	w.needs("schema")
	s := w.launch(strict, running)
	value, kind := []byte(`{"n": 1}`), "application/json"
	if got := typed[*agentv1.PushXComResponse](s, pushXCom, &agentv1.PushXComRequest{Value: value, ContentType: kind}); !got.GetAccepted() {
		w.t.Fatalf("a value that the schema allows was answered {%v}", got)
	}
	if got := w.value(strict, "return_value"); !bytes.Equal(got, value) {
		w.t.Fatalf("%q is stored, not %q", got, value)
	}
	before := s.snapshot()
	for _, wrong := range []string{`{"n": "1"}`, `{}`, `[]`, `no JSON`, `{"n": 1} {`} {
		got := typed[*agentv1.PushXComResponse](s, pushXCom, &agentv1.PushXComRequest{Value: []byte(wrong), ContentType: kind})
		if got.GetAccepted() || got.GetRejectionReason() != "schema_mismatch" {
			w.t.Fatalf("the value %s was answered {%v}", wrong, got)
		}
	}
	s.wantNothingStored(before, "a value against the schema")
}

func xcomBytes(w *world) {
	s := w.launch(source, running)
	a := w.launch(worker, running)
	for i, value := range []string{`{"b":1,"a":1.0,"big":12345678901234567890}`, "\x00\xff\xfe text \r\n", "", "ü"} {
		kind := []string{"application/json", "application/octet-stream", "", "text/plain; charset=utf-8"}[i]
		request := &agentv1.PushXComRequest{Key: "other", Value: []byte(value), ContentType: kind}
		if got := typed[*agentv1.PushXComResponse](s, pushXCom, request); !got.GetAccepted() {
			w.t.Fatalf("the push was answered {%v}", got)
		}
		for range 2 {
			got := a.wantFetch("other", value)
			if got.GetContentType() != kind || int(got.GetSizeBytes()) != len(value) || !got.GetCreatedAt().IsValid() {
				w.t.Fatalf("of a value of %d bytes and the type %q came {%v}", len(value), kind, got)
			}
		}
	}
}

func xcomExpires(w *world) {
	if !w.target.Capabilities.GetClock() {
		w.t.Untestable("the fixtures cannot advance the server's clock")
	}
	s := w.launch(source, running)
	told := time.Duration(s.push("", "1").GetTtlSeconds()) * time.Second
	ahead := func(by time.Duration) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), w.t.Scale(5*time.Second))
		defer cancel()
		_, err := w.target.Fixtures.AdvanceClock(ctx, &conformancev1.AdvanceClockRequest{Ahead: durationpb.New(by)})
		w.fixture("advance the clock", err)
	}
	// A token would end before the value does: what is stored is looked at behind the wire.
	w.t.Cleanup(func() { ahead(0) }) // whatever has become of the check
	ahead(told - time.Minute)
	if got := w.value(source, "return_value"); string(got) != "1" {
		w.t.Fatalf("a minute before its end, at %v, the value is gone", told)
	}
	ahead(told + time.Minute)
	if got := w.value(source, "return_value"); got != nil {
		w.t.Fatalf("a minute after its end, at %v, the value is still there", told)
	}
}
