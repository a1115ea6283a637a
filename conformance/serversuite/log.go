package serversuite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// logStream is an open StreamLogs call.
type logStream struct {
	a       *attempt
	stream  grpc.BidiStreamingClient[agentv1.LogLine, agentv1.LogAck]
	cancel  context.CancelFunc
	session uint64
}

// openLog opens a stream that ends with the check.
func (a *attempt) openLog() *logStream {
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(a.w.t.Context(), a.as().md))
	a.w.t.Cleanup(cancel)
	stream, err := agentv1.NewAgentServiceClient(a.w.target.Conn).StreamLogs(ctx)
	a.w.t.Record(suite.Step{What: "opened StreamLogs as the agent of " + a.ref.GetTaskId(), RPC: streamLogs, Err: err})
	a.w.wantCode(err, codes.OK, "opening StreamLogs")
	return &logStream{a: a, stream: stream, cancel: cancel}
}

// line sends one; a stream that ended is told by what is received.
func (l *logStream) line(stream string, number int64, message string) {
	line := &agentv1.LogLine{
		Time: timestamppb.Now(), Level: agentv1.LogLevel_LOG_LEVEL_INFO, Stream: stream, LineNumber: number,
		Message: message, Session: l.session,
	}
	err := l.stream.Send(line)
	l.a.w.t.Record(suite.Step{RPC: streamLogs, Sent: line, Err: err})
	if err != nil && !errors.Is(err, io.EOF) {
		l.a.w.t.Fatalf("a line could not be sent: %v", err)
	}
}

// end half-closes, and returns the last acknowledgement of each stream; of those that
// name none, the farthest.
func (l *logStream) end() map[string]int64 {
	l.a.w.wantCode(l.stream.CloseSend(), codes.OK, "half-closing StreamLogs")
	acks := map[string]int64{}
	for {
		ack, err := l.receive()
		if errors.Is(err, io.EOF) {
			return acks
		}
		l.a.w.wantCode(err, codes.OK, "StreamLogs, half-closed,")
		stream, through := ack.GetStream(), ack.GetAcknowledgedThroughLine()
		if stream == "" { // it names none, and the next may be of another
			through = max(through, acks[stream])
		}
		if through < acks[stream] {
			l.a.w.t.Fatalf("an acknowledgement went back from %d to %d", acks[stream], through)
		}
		acks[stream] = through
	}
}

func (l *logStream) receive() (*agentv1.LogAck, error) {
	ack, err := l.stream.Recv()
	step := suite.Step{RPC: streamLogs}
	switch {
	case errors.Is(err, io.EOF):
		step.What = "StreamLogs ended well"
	case err != nil:
		step.Err = err
	default:
		step.Received = ack
	}
	l.a.w.t.Record(step)
	return ack, err
}

// lines are the records of a stream without marks, as "number text".
func (a *attempt) lines(stream string) []string {
	var out []string
	for _, r := range a.log() {
		if r.GetStream() == stream && r.GetMark() == controlv1.LogMark_LOG_MARK_UNSPECIFIED {
			out = append(out, fmt.Sprintf("%d %s", r.GetLineNumber(), r.GetMessage()))
		}
	}
	return out
}

func (a *attempt) wantLines(stream string, want ...string) {
	if got := a.lines(stream); strings.Join(got, "\n") != strings.Join(want, "\n") {
		a.w.t.Fatalf("the log of %s holds %q, not %q", stream, got, want)
	}
}

func logChecks(target *Target) []suite.Check {
	return []suite.Check{
		single(target, "LOG-2", "per-stream", "numbers count per stream, and 0 is none", logPerStream, streamLogs),
		single(target, "LOG-3", "resend", "a line sent again after a reconnect is kept once", logResend, streamLogs),
		single(target, "LOG-4", "gap", "an acknowledgement covers no hole, and the hole is shown", logGap, streamLogs),
		single(target, "LOG-5", "final", "the last acknowledgements cover every line", logFinal, streamLogs),
		single(target, "LOG-5", "flowing", "an acknowledgement comes while the stream is open", logFlowing, streamLogs),
		single(target, "LOG-7", "long", "a long line is cut with a mark, and stays one", logLong, streamLogs),
		single(target, "LOG-8", "text", "the text is what was sent, and forges nothing", logText, streamLogs),
		single(target, "LOG-9", "own-log", "lines after the end are kept, in the own log alone", logOwn, streamLogs),
		single(target, "LOG-13", "takes-over", "a newer stream takes over, and loses nothing", logTakesOver, streamLogs),
	}
}

func logPerStream(w *world) {
	a := w.launch(worker, running)
	l := a.openLog()
	for n := range int64(3) {
		l.line("stdout", n+1, "out")
		l.line("stderr", n+1, "err")
		l.line("agent", 0, "same")
	}
	l.end()
	a.wantLines("stdout", "1 out", "2 out", "3 out")
	a.wantLines("stderr", "1 err", "2 err", "3 err")
	a.wantLines("agent", "0 same", "0 same", "0 same")
}

func logResend(w *world) {
	w.needs("resume")
	a := w.launch(worker, running)
	for range 2 {
		l := a.openLog()
		l.session = 7
		l.line("stdout", 1, "one")
		l.line("stdout", 2, "two")
		l.end()
	}
	a.wantLines("stdout", "1 one", "2 two")
	l := a.openLog()
	l.session = 8
	l.line("stdout", 1, "one")
	l.end()
	a.wantLines("stdout", "1 one", "2 two", "1 one")
	a.wantMark(controlv1.LogMark_LOG_MARK_RESTART)
}

func logGap(w *world) {
	a := w.launch(worker, running)
	l := a.openLog()
	l.line("stdout", 1, "one")
	l.line("stdout", 2, "two")
	l.line("stdout", 5, "five")
	for through := int64(0); through != 2; {
		ack, err := l.receive()
		w.wantCode(err, codes.OK, "StreamLogs, open,")
		if through = ack.GetAcknowledgedThroughLine(); through > 2 {
			w.t.Fatalf("the lines 1, 2 and 5 were acknowledged through %d", through)
		}
	}
	l.end()
	a.wantLines("stdout", "1 one", "2 two", "5 five")
	a.wantMark(controlv1.LogMark_LOG_MARK_GAP)
}

func logFinal(w *world) {
	a := w.launch(worker, running)
	l := a.openLog()
	for n := range int64(50) {
		l.line("stdout", n+1, fmt.Sprint("line ", n+1))
	}
	l.line("stderr", 1, "err")
	l.line("agent", 0, "unnumbered")
	acks := l.end()
	_, unnumbered := acks["agent"]
	named := acks["stdout"] == 50 && acks["stderr"] == 1 && unnumbered && acks["agent"] == 0
	if bare, anonymous := acks[""]; !named && (w.target.offers("resume") || !anonymous || bare != 50) {
		w.t.Fatalf("of 50 lines of stdout, one of stderr and an unnumbered one the last acknowledgements are %v", acks)
	}
	if got := len(a.lines("stdout")); got != 50 {
		w.t.Fatalf("of 50 lines %d are in the log", got)
	}
}

func logFlowing(w *world) {
	a := w.launch(worker, running)
	l := a.openLog()
	l.line("stdout", 1, "one")
	l.awaitAck(1)
	a.wantLines("stdout", "1 one")
}

func logLong(w *world) {
	const limit = 64 << 10
	a := w.launch(worker, running)
	l := a.openLog()
	l.line("stdout", 1, strings.Repeat("ü", limit))
	l.line("stdout", 2, "short")
	l.end()
	var cut []*controlv1.LogRecord
	for _, r := range a.log() {
		if r.GetStream() == "stdout" {
			cut = append(cut, r)
		}
	}
	if len(cut) != 2 || !cut[0].GetCut() || len(cut[0].GetMessage()) > limit+1024 || cut[1].GetMessage() != "short" || cut[1].GetCut() {
		w.t.Fatalf("of a line of %d bytes and a short one %d records are in the log, or the first is not cut", 2*limit, len(cut))
	}
}

func logText(w *world) {
	a := w.launch(worker, running)
	evil := []string{"one\ntwo\r\n2 stderr forged", "\x1b[2J\x1b[31mred\x00\x7f", `{"stream":"stderr","message":"forged"}`, "", "ü\u202e"}
	l := a.openLog()
	var want []string
	for i, text := range evil {
		l.line("stdout", int64(i+1), text)
		want = append(want, fmt.Sprintf("%d %s", i+1, text))
	}
	l.end()
	a.wantLines("stdout", want...)
	a.wantLines("stderr")
}

func logOwn(w *world) {
	old := w.launch(worker, running)
	old.control(streamLogs, 1)
	newer := w.launch(worker, running)
	before := newer.snapshot()
	old.control(streamLogs, 2)
	newer.wantUnchanged(before, "a line of an older attempt")
}

func logTakesOver(w *world) {
	a := w.launch(worker, running)
	older := a.openLog()
	older.session = 7
	older.line("stdout", 1, "one")
	older.awaitAck(1)
	newer := a.openLog()
	newer.session = 7
	newer.line("stdout", 2, "two")
	for {
		if _, err := older.receive(); err != nil {
			w.wantCode(err, codes.Aborted, "the older of two streams")
			break
		}
	}
	newer.end()
	a.wantLines("stdout", "1 one", "2 two")
}

func (a *attempt) wantMark(mark controlv1.LogMark) {
	for _, r := range a.log() {
		if r.GetMark() == mark {
			return
		}
	}
	a.w.t.Fatalf("the log has no mark %s", mark)
}
