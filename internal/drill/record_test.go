package drill

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// TestRecorderKeepsWhatWasAcknowledged holds reports and values, refused ones left out.
func TestRecorderKeepsWhatWasAcknowledged(t *testing.T) {
	fake := &fakePlane{report: &agentv1.ReportStateResponse{}, push: &agentv1.PushXComResponse{}}
	addr, _ := serveFake(t, "127.0.0.1:0", fake)
	r := NewRecorder()
	client, ctx := through(t, addr, r)
	running := &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_RUNNING}
	failed := &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_FAILED, ExitCode: 3, ErrorMessage: "no"}
	report := func(req *agentv1.ReportStateRequest) {
		t.Helper()
		if _, err := client.ReportState(ctx, req); err != nil && fake.refusal == nil {
			t.Fatal(err)
		}
	}
	push := func(key, value string) {
		t.Helper()
		if _, err := client.PushXCom(ctx, &agentv1.PushXComRequest{Key: key, Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	report(running)
	push("", "refused")
	fake.refusal = status.Error(codes.Internal, "no")
	report(running)
	fake.refusal, fake.report, fake.push = nil, &agentv1.ReportStateResponse{Acknowledged: true}, &agentv1.PushXComResponse{Accepted: true}
	report(running)
	push("", "first")
	push("", "second")
	push("other", "third")
	fake.report = &agentv1.ReportStateResponse{Acknowledged: true, ShouldTerminate: true}
	report(failed)
	want := map[Attempt]*Seen{harmed: {
		Reports: []Report{
			{State: agentv1.TaskState_TASK_STATE_RUNNING},
			{State: agentv1.TaskState_TASK_STATE_FAILED, ExitCode: 3, Message: "no", Terminate: true},
		},
		Values:  map[string][]byte{returnValue: []byte("second"), "other": []byte("third")},
		Streams: map[string]*Stream{},
	}}
	if diff := cmp.Diff(want, r.seen); diff != "" {
		t.Error(diff)
	}
	if got := r.Progress(); got != (Progress{Reports: 4, Values: 4}) {
		t.Errorf("progress %+v", got)
	}
}

// TestRecorderKeepsLinesAndAcks holds that a resend is one line, that an ack without a
// stream is none, and that an unnumbered line is acknowledged by an orderly end alone.
func TestRecorderKeepsLinesAndAcks(t *testing.T) {
	fake := &fakePlane{broken: status.Error(codes.Unavailable, "down")}
	addr, _ := serveFake(t, "127.0.0.1:0", fake)
	r := NewRecorder()
	client, ctx := through(t, addr, r)
	one := &agentv1.LogLine{Stream: stdout, LineNumber: 1, Message: "one"}
	two := &agentv1.LogLine{Stream: stdout, LineNumber: 2, Message: "two"}
	forged := &agentv1.LogLine{Stream: stdout, LineNumber: 2, Message: "forged"}
	note := &agentv1.LogLine{Stream: "agent", Message: "a note"}
	fake.acks = []*agentv1.LogAck{{AcknowledgedThroughLine: 2}, {Stream: stdout, AcknowledgedThroughLine: 1}, {Stream: "agent"}}
	if err := send(t, ctx, client, one, two, note); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	fake.broken, fake.acks = nil, fake.acks[2:]
	if err := send(t, ctx, client, two, note, forged); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	want := map[Attempt]*Seen{harmed: {
		Values: map[string][]byte{},
		Streams: map[string]*Stream{
			stdout:  {Sent: map[int64]string{1: "one", 2: "two"}, Acked: 1, Loose: map[string]Loose{}},
			"agent": {Sent: map[int64]string{}, Loose: map[string]Loose{"a note": {Sent: 2, Acked: 1}}},
		},
		Faults: []string{`line 2 of stdout was sent as "two", then as "forged"`},
	}}
	if diff := cmp.Diff(want, r.seen); diff != "" {
		t.Error(diff)
	}
	if got := r.Progress(); got != (Progress{Lines: 2}) {
		t.Errorf("progress %+v", got)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewRecorder().Await(ctx, func(p Progress) bool { return p.Lines > 0 }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAttemptOfRefusesWhatIsNoToken(t *testing.T) {
	for _, token := range []string{"", "a.b", "a.%.c", "a.e30.c", "a.bm8.c"} {
		if a, err := attemptOf(token); err == nil {
			t.Errorf("%q is of %v", token, a)
		}
	}
}
