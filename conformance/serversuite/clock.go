package serversuite

import (
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// clockChecks move the server's clock, so none of them has another check beside it.
func clockChecks(target *Target) []suite.Check {
	out := []suite.Check{
		single(target, "AUTH-10", "expires", "a stream outlives its token while its attempt may log, and no longer", streamOutlivesToken, streamLogs),
		single(target, "LOG-9", "grace", "the log is closed once the grace is over, to new streams and to open ones", logCloses, streamLogs),
	}
	for i := range out {
		out[i].Parallel, out[i].Deadline = false, 30*time.Second
	}
	return out
}

// past is by how much a moment is passed, so that clocks that disagree agree on it.
const past = time.Minute

// clock returns what moves the server's clock to a time from now; the check's end moves
// it back.
func (w *world) clock() (advance func(time.Duration)) {
	if !w.target.Capabilities.GetClock() {
		w.t.Untestable("the fixtures cannot advance the server's clock")
	}
	move := func(ahead time.Duration) error {
		ctx, cancel := w.afterwards()
		defer cancel()
		_, err := w.target.Fixtures.AdvanceClock(ctx, &conformancev1.AdvanceClockRequest{Ahead: durationpb.New(ahead)})
		w.t.Note("the server's clock is %v ahead", ahead)
		return err
	}
	w.t.Cleanup(func() {
		if err := move(0); err != nil {
			w.t.Errorf("the server's clock could not be moved back: %v", err)
		}
	})
	return func(ahead time.Duration) { w.fixture("advance the clock", move(ahead)) }
}

// grace is how long an attempt may log after its end.
func (w *world) grace() time.Duration {
	grace := w.target.Capabilities.GetLogGrace()
	if grace == nil {
		w.t.Untestable("the fixtures do not tell for how long an attempt may log after its end")
	}
	return grace.AsDuration()
}

func streamOutlivesToken(w *world) {
	grace, advance := w.grace(), w.clock()
	a := w.launch(stranger, running)
	late := &attempt{w, a.ref, w.mint(a.ref, conformancev1.TokenDefect_TOKEN_DEFECT_UNSPECIFIED)}
	late.control(heartbeat, 1)
	l := late.openLog()
	l.kept(1, "before the token's end")
	ahead := late.outlive(advance)
	l.kept(2, "after it")
	a.settle(controlv1.Cause_CAUSE_LAUNCH_FAILED)
	l.kept(3, "in the grace")
	advance(ahead + grace + past)
	l.wantClosed(codes.FailedPrecondition, codes.Unauthenticated)
}

// outlive moves the clock past the end of the attempt's token, and returns how far.
func (a *attempt) outlive(advance func(time.Duration)) time.Duration {
	refused := func() bool {
		_, err := a.w.call(heartbeat, a.as(), exercises[heartbeat].request(a.w, 1))
		return status.Code(err) == codes.Unauthenticated
	}
	ahead := 10 * time.Minute
	if _, end := lifeOf(a.token); !end.IsZero() {
		ahead = time.Until(end) + past
	}
	for ; ahead < 1000*24*time.Hour; ahead *= 2 { // of a token that does not tell its end it is not known
		if advance(ahead); refused() {
			return ahead
		}
		if _, end := lifeOf(a.token); !end.IsZero() {
			break
		}
	}
	a.w.t.Fatalf("a heartbeat with a token that ended is not UNAUTHENTICATED when the clock is %v ahead", ahead)
	return 0
}

func logCloses(w *world) {
	grace, advance := w.grace(), w.clock()
	a := w.launch(stranger, running)
	a.control(streamLogs, 1)
	l := a.openLog()
	l.kept(1, "before the end")
	a.accepted(saySuccess)
	l.kept(2, "in the grace")
	advance(grace + past)
	l.wantClosed(codes.FailedPrecondition)
	before := a.snapshot()
	_, err := w.call(streamLogs, a.as(), exercises[streamLogs].request(w, 2))
	w.wantCode(err, codes.FailedPrecondition, "StreamLogs after the grace")
	a.wantUnchanged(before, "the refused StreamLogs")
}

// kept sends a line of stdout, and waits for its acknowledgement and for it to be there.
func (l *logStream) kept(number int64, message string) {
	l.line("stdout", number, message)
	for through := int64(0); through < number; {
		ack, err := l.receive()
		l.a.w.wantCode(err, codes.OK, "StreamLogs, with a line sent "+message+",")
		through = ack.GetAcknowledgedThroughLine()
	}
	for _, r := range l.a.log() {
		if r.GetStream() == "stdout" && r.GetLineNumber() == number && r.GetMessage() == message {
			return
		}
	}
	l.a.w.t.Fatalf("the line %d was acknowledged, and is not in the log", number)
}

// wantClosed sends lines until the stream ends, which it must with one of the codes.
func (l *logStream) wantClosed(allowed ...codes.Code) {
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(l.a.w.t.Scale(50 * time.Millisecond))
		defer tick.Stop()
		line := &agentv1.LogLine{Time: timestamppb.Now(), Stream: "agent", Message: "is it open"}
		for l.stream.Send(proto.CloneOf(line)) == nil {
			select {
			case <-tick.C:
			case <-ended:
				return
			}
		}
	}()
	defer close(ended)
	for {
		_, err := l.receive()
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			l.a.w.t.Fatalf("a stream of an attempt that may log no more ended as if all were well, not with %v", allowed)
		}
		for _, code := range allowed {
			if status.Code(err) == code {
				return
			}
		}
		l.a.w.t.Fatalf("a stream of an attempt that may log no more ended with %s, not %v", name(status.Code(err), err), allowed)
	}
}
