package agent

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// TestLog2QuickTaskLosesNothing breaks the stream of a task that prints quicker than its
// lines become durable, and holds that those which were not acknowledged come again.
func TestLog2QuickTaskLosesNothing(t *testing.T) {
	// What is behind, with what comes between two acks, is a little less than is kept.
	const text, lines, behind, every = "a line of some length, again and again", 100_000, 13_000, 500
	f := &fake{spec: bash(fmt.Sprintf("yes '%s' | head -n %d", text, lines))}
	durable := int64(0)
	f.onStream = func(nth int, s lineStream) error {
		if nth > 1 {
			_, err := f.take(s, func(l *agentv1.LogLine) bool {
				if n := l.GetLineNumber(); n%every == 0 { // fails only with the stream
					_ = s.Send(&agentv1.LogAck{Stream: streamStdout, AcknowledgedThroughLine: n})
				}
				return false
			})
			return err
		}
		for {
			l, err := s.Recv()
			if err != nil {
				return err
			}
			n := l.GetLineNumber()
			if n == lines/2 {
				return status.Error(codes.Unavailable, "restarting")
			}
			if n < behind || n%every != 0 {
				continue
			}
			durable = n - behind
			if err := s.Send(&agentv1.LogAck{Stream: streamStdout, AcknowledgedThroughLine: durable}); err != nil {
				return err
			}
		}
	}
	b := newBench(t, f)
	b.pace.stall = patient
	b.run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	next := durable + 1
	for _, l := range f.lines {
		if l.GetStream() != streamStdout || l.GetLineNumber() < next {
			continue // the last acks may not have come
		}
		if l.GetLineNumber() != next {
			t.Fatalf("after line %d comes %d", next-1, l.GetLineNumber())
		}
		next++
	}
	if next != lines+1 {
		t.Errorf("%d lines came", next-1)
	}
}

// sendAll sends what a backlog hands out, and returns the number of the last line sent.
func sendAll(b *backlog) (last int64) {
	for {
		e, _, _ := b.next()
		if e == nil {
			return last
		}
		last = e.line.GetLineNumber()
		b.commit(e)
	}
}

// TestLog2SendingWaitsForAcks fills what is kept of a control plane that acknowledges.
func TestLog2SendingWaitsForAcks(t *testing.T) {
	b := newBacklog(1, patient)
	put := func() { b.put(streamStdout, agentv1.LogLevel_LOG_LEVEL_INFO, string(make([]byte, 64<<10))) }
	put()
	sendAll(b)
	b.ack(streamStdout, 1)
	for range 60 {
		put()
	}
	sendAll(b)
	for range 40 {
		put()
	}
	b.end()
	held := sendAll(b)
	if held >= 101 || b.kept > maxKept || len(b.lanes[streamStdout].entries) != 100 {
		t.Errorf("sent through %d, %d bytes and %d lines kept", held, b.kept, len(b.lanes[streamStdout].entries))
	}
	if _, _, ended := b.next(); ended {
		t.Error("the log is said to end before its last line was sent")
	}
	b.ack(streamStdout, held)
	if last := sendAll(b); last != 101 {
		t.Errorf("after the ack sent through %d", last)
	}
}

// TestLog2SendingWaitsNotForEver has a control plane acknowledge once and never again.
func TestLog2SendingWaitsNotForEver(t *testing.T) {
	b := newBacklog(1, 10*time.Millisecond)
	put := func() { b.put(streamStdout, agentv1.LogLevel_LOG_LEVEL_INFO, string(make([]byte, 64<<10))) }
	put()
	sendAll(b)
	b.ack(streamStdout, 1)
	for range 60 {
		put()
	}
	b.taskOver()
	for range 60 {
		put()
	}
	b.end()
	for {
		sendAll(b)
		_, changed, ended := b.next()
		if ended {
			break
		}
		await(t, changed, "the end of the wait for an ack")
	}
	if b.kept > maxKept || b.losses() != 0 {
		t.Errorf("%d bytes kept, %d lines lost", b.kept, b.losses())
	}
}
