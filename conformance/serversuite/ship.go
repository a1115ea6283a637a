package serversuite

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// shipChecks are of many lines at once: what is left of them when the server ends, and
// who may hold them up.
func shipChecks(target *Target) []suite.Check {
	out := []suite.Check{
		single(target, "LOG-1", "killed", "acknowledged lines outlive a server that is killed", linesOutliveKill, streamLogs),
		single(target, "LOG-10", "shutdown", "a shutdown acknowledges what it keeps, and says to come again", linesOutliveShutdown, streamLogs),
		single(target, "LOG-11", "live", "a follower sees a line within a second", followerSeesLine, streamLogs),
		single(target, "LOG-11", "stalled", "a follower who takes nothing holds nothing up", stalledFollower, streamLogs),
		single(target, "LOG-12", "no-reader", "lines get through though no acknowledgement is read", acksUnread, streamLogs),
	}
	for i := range out {
		out[i].Deadline = 20 * time.Second
	}
	out[0].Parallel, out[1].Parallel = false, false // the server ends
	return out
}

// many lines are more than the acknowledgements of each would find room for, where nobody
// reads them; all of them fit a message.
const many = 20_000

// text is what line n of a shipment says.
func text(n int64) string { return fmt.Sprint("line ", n, " of many") }

// shipment is lines of a stream on their way, without a place in the evidence: they are
// thousands.
type shipment struct {
	*logStream
	name   string       // of the stream
	filler string       // of each line
	sent   atomic.Int64 // so many were given to the transport
}

// ship sends lines up to the last one, or until the stream ends. Each must be taken in
// reasonable time from the one before.
func (s *shipment) ship(last int64) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := s.sent.Load() + 1; n <= last; n++ {
			if !s.send(n) {
				return // what is received tells why
			}
			s.sent.Store(n)
		}
	}()
	s.progress(done, "sent", s.sent.Load)
}

func (s *shipment) send(n int64) bool {
	return s.stream.Send(&agentv1.LogLine{
		Time: timestamppb.Now(), Level: agentv1.LogLevel_LOG_LEVEL_INFO, Stream: s.name, LineNumber: n,
		Message: text(n) + s.filler, Session: 7,
	}) == nil
}

// progress waits for an end, to which something must come nearer all the time.
func (s *shipment) progress(done <-chan struct{}, what string, far func() int64) {
	t := s.a.w.t
	patience := t.Scale(3 * time.Second)
	watch := time.NewTicker(patience / 20)
	defer watch.Stop()
	at, since := far(), time.Now()
	for {
		select {
		case <-done:
			t.Note("%d lines were %s", far(), what)
			return
		case <-watch.C:
		}
		if now := far(); now != at {
			at, since = now, time.Now()
		} else if time.Since(since) > patience {
			t.Fatalf("after %d lines no more were %s for %v", at, what, patience)
		}
	}
}

// acks receives until the stream ends, and then tells how far acknowledgements went, and
// the error that ended it.
func (s *shipment) acks() (far *atomic.Int64, ended <-chan error) {
	far = new(atomic.Int64)
	end := make(chan error, 1)
	go func() {
		for {
			ack, err := s.stream.Recv()
			if err != nil {
				end <- err
				return
			}
			if named := ack.GetStream(); named == "" || named == s.name {
				far.Store(max(far.Load(), ack.GetAcknowledgedThroughLine()))
			}
		}
	}()
	return far, end
}

// await waits until acknowledgements have come as far as a line.
func (s *shipment) await(far *atomic.Int64, line int64) {
	t := s.a.w.t
	reached := make(chan struct{})
	go func() {
		defer close(reached)
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for far.Load() < line {
			select {
			case <-look.C:
			case <-t.Context().Done():
				return
			}
		}
	}()
	s.progress(reached, "acknowledged", far.Load)
	if far.Load() < line {
		t.Fatalf("of %d lines %d were acknowledged", line, far.Load())
	}
}

// acknowledges reports whether any acknowledgement comes, within the time of a few.
func (s *shipment) acknowledges(far *atomic.Int64) bool {
	look, end := time.NewTicker(time.Millisecond), time.After(s.a.w.t.Scale(3*time.Second))
	defer look.Stop()
	for far.Load() == 0 {
		select {
		case <-look.C:
		case <-end:
			return false
		}
	}
	return true
}

// wantKept wants lines from the first one in the log, each once and in order: as many at
// least. It returns how many there are.
func (s *shipment) wantKept(least int64) int64 {
	t, lines := s.a.w.t, s.a.lines(s.name)
	for i, line := range lines {
		if n := int64(i + 1); line != fmt.Sprint(n, " ", text(n)+s.filler) {
			t.Fatalf("of %d lines in the log, the one at place %d is %.60q", len(lines), n, line)
		}
	}
	if got := int64(len(lines)); got < least {
		t.Fatalf("of %d lines %d are in the log", least, got)
	}
	return int64(len(lines))
}

// linesOutliveKill kills the server in the middle of lines.
func linesOutliveKill(w *world) {
	w.makes(conformancev1.Fault_FAULT_RESTART)
	a := w.launch(worker, running)
	s := &shipment{logStream: a.openLog(), name: "stdout"}
	s.ship(50)
	far, ended := s.acks()
	s.await(far, 50)
	s.wantKept(50)
	flowing := make(chan struct{})
	go func() {
		defer close(flowing)
		for n := int64(51); n <= many && s.send(n); n++ {
		}
	}()
	s.await(far, 200)
	w.fault(conformancev1.Fault_FAULT_RESTART)
	<-flowing
	w.t.Record(suite.Step{What: "the server was killed", RPC: streamLogs, Err: <-ended})
	acknowledged := far.Load()
	kept := s.wantKept(acknowledged)
	w.t.Note("%d lines were acknowledged, and %d are kept", acknowledged, kept)
}

// linesOutliveShutdown ends the server in order while lines are on their way.
func linesOutliveShutdown(w *world) {
	w.makes(conformancev1.Fault_FAULT_SHUTDOWN)
	a := w.launch(worker, running)
	s := &shipment{logStream: a.openLog(), name: "stdout"}
	s.ship(50)
	far, ended := s.acks()
	s.await(far, 50)
	s.ship(60)
	a.beat() // its answer comes over the same connection, so the lines are there
	w.fault(conformancev1.Fault_FAULT_SHUTDOWN)
	var err error
	select {
	case err = <-ended:
	case <-time.After(w.t.Scale(5 * time.Second)):
		w.t.Fatalf("a server that shut down has not ended a stream")
	}
	w.t.Record(suite.Step{What: "the server shut down", RPC: streamLogs, Err: err})
	if errors.Is(err, io.EOF) {
		w.t.Fatalf("a server that shut down ended a stream as if all were well")
	}
	w.wantCode(err, codes.Unavailable, "a stream whose server shut down")
	kept := s.wantKept(60)
	if acknowledged := far.Load(); acknowledged != kept {
		w.t.Fatalf("a server that shut down kept %d lines, and acknowledged %d", kept, acknowledged)
	}
}

// follow begins to wait for a line, as somebody who watches would.
func (a *attempt) follow(message string) <-chan error {
	came := make(chan error, 1)
	go func() {
		_, err := a.w.target.Fixtures.AwaitLine(a.w.t.Context(), &conformancev1.AwaitLineRequest{Attempt: a.ref, Message: message})
		came <- err
	}()
	return came
}

func followerSeesLine(w *world) {
	a := w.launch(worker, running)
	l := a.openLog()
	l.line("stdout", 1, "first")
	w.fixture("follow a log", <-a.follow("first"))
	came := a.follow("second")
	select {
	case err := <-came:
		w.fixture("follow a log", err)
		w.t.Broken("the fixtures saw a line that was not sent")
	case <-time.After(w.t.Scale(300 * time.Millisecond)): // long enough for the follower to be there
	}
	l.line("stdout", 2, "second")
	within := w.t.Scale(time.Second)
	select {
	case err := <-came:
		w.fixture("follow a log", err)
	case <-time.After(within):
		w.t.Fatalf("who follows a log has not seen a line %v after it was sent", within)
	}
	a.wantLines("stdout", "1 first", "2 second")
}

// stalledFollower ships more than any window holds past one who takes nothing.
func stalledFollower(w *world) {
	const last = 4000
	a := w.launch(worker, running)
	s := &shipment{logStream: a.openLog(), name: "stdout", filler: fmt.Sprintf("%1024s", ".")}
	s.ship(10)
	far, ended := s.acks()
	if !s.acknowledges(far) {
		w.t.Untestable("the server acknowledges no line while a stream is open (LOG-5), so nothing tells how fast it takes them")
	}
	s.await(far, 10)
	_, err := w.target.Fixtures.StallFollower(w.t.Context(), &conformancev1.StallFollowerRequest{Attempt: a.ref})
	w.fixture("have somebody follow a log who takes nothing", err)
	s.ship(last)
	s.await(far, last)
	w.wantCode(s.stream.CloseSend(), codes.OK, "half-closing StreamLogs")
	s.wantEnd(ended)
}

// wantEnd wants a stream that was half-closed to end well.
func (s *shipment) wantEnd(ended <-chan error) {
	w := s.a.w
	select {
	case err := <-ended:
		if errors.Is(err, io.EOF) {
			w.t.Record(suite.Step{What: "StreamLogs ended well", RPC: streamLogs})
			return
		}
		w.wantCode(err, codes.OK, "StreamLogs, half-closed,")
	case <-time.After(w.t.Scale(5 * time.Second)):
		w.t.Fatalf("StreamLogs, half-closed, does not end")
	}
}

// acksUnread ships lines as agents in the field do: they read once they have half-closed.
func acksUnread(w *world) {
	a := w.launch(worker, running)
	a.control(streamLogs, 1)
	b := w.launch(stranger, running)
	s := &shipment{logStream: b.openLog(), name: strings.Repeat("long", 16)} // so are acknowledgements
	s.ship(many)
	w.wantCode(s.stream.CloseSend(), codes.OK, "half-closing StreamLogs")
	far, ended := s.acks()
	s.wantEnd(ended)
	s.wantKept(many)
	switch got := far.Load(); got {
	case many:
	case 0:
		w.t.Untestable("the server acknowledges no line (LOG-5), so no acknowledgement could slow reception")
	default:
		w.t.Fatalf("of %d lines %d were acknowledged in the end", many, got)
	}
}
