package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func TestLog1EveryLineNumberedPerStream(t *testing.T) {
	f := &fake{spec: bash(`printf 'one\n\ntwo\xff\xfe!\n'; printf 'oops\nlast words' >&2; head -c 150000 /dev/zero | tr '\0' x; printf '\nend'; exit 1`)}
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), failure, 1, "exited with code 1: last words")
	const k = 64 << 10
	wantLines(t, f.texts("stdout"), "one", "", "two\uFFFD!", strings.Repeat("x", k), strings.Repeat("x", k), strings.Repeat("x", 150000-2*k), "end")
	wantLines(t, f.texts("stderr"), "oops", "last words")
	wantLines(t, f.texts("agent"), "the task failed: exited with code 1: last words")
	numbers, session := map[string]int64{}, f.lines[0].GetSession()
	for _, line := range f.lines {
		want := map[string]agentv1.LogLevel{
			"stdout": agentv1.LogLevel_LOG_LEVEL_INFO, "stderr": agentv1.LogLevel_LOG_LEVEL_ERROR, "agent": agentv1.LogLevel_LOG_LEVEL_ERROR,
		}[line.GetStream()]
		numbers[line.GetStream()]++
		number := numbers[line.GetStream()]
		if line.GetStream() == "agent" {
			number = 0
		}
		if line.GetLineNumber() != number || line.GetLevel() != want || !line.GetTime().IsValid() || line.GetSession() != session || session == 0 {
			t.Errorf("sent %v; want number %d, %v, a time and session %d", line, number, want, session)
		}
	}
}

func TestLog1ManyLinesThroughASlowSink(t *testing.T) {
	const lines = 50_000 // more than the queue and the pipes hold
	f := &fake{spec: bash(fmt.Sprintf("seq %d", lines))}
	f.onStream = func(_ int, s lineStream) error {
		through, err := f.take(s, func(l *agentv1.LogLine) bool {
			if l.GetLineNumber()%1000 == 0 { // the control plane acks while lines flow
				_ = s.Send(&agentv1.LogAck{Stream: l.GetStream(), AcknowledgedThroughLine: l.GetLineNumber()})
			}
			return false
		})
		if err == nil {
			err = s.Send(&agentv1.LogAck{Stream: "stdout", AcknowledgedThroughLine: through["stdout"]})
		}
		return err
	}
	b := newBench(t, f)
	b.pace.stall = patient
	b.run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	out := f.texts("stdout")
	if len(out) != lines || out[0] != "1" || out[lines-1] != fmt.Sprint(lines) {
		t.Errorf("%d lines came", len(out))
	}
}

func TestLog2ResentFromTheFirstUnacknowledged(t *testing.T) {
	script, open := gate(t)
	f := &fake{spec: bash("printf '1\n2\n3\n4\n'; echo e1 >&2; " + script + "; echo 5")}
	first := make(chan []*agentv1.LogLine, 1)
	f.onStream = func(nth int, s lineStream) error {
		if nth > 1 {
			_, err := f.take(s, nil)
			return err
		}
		n := 0
		if _, err := f.take(s, func(*agentv1.LogLine) bool { n++; return n == 5 }); err != nil {
			return err
		}
		// Acks that release nothing: without a stream, of an unknown one, of a line never sent.
		for _, ack := range []*agentv1.LogAck{
			{AcknowledgedThroughLine: 4},
			{Stream: "other", AcknowledgedThroughLine: 4},
			{Stream: "stderr", AcknowledgedThroughLine: 0},
			{Stream: "stdout", AcknowledgedThroughLine: 2},
		} {
			if err := s.Send(ack); err != nil {
				return err
			}
		}
		f.mu.Lock()
		first <- f.lines
		f.lines = nil
		f.mu.Unlock()
		open()
		return status.Error(codes.Unavailable, "restarting")
	}
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	sent := <-first
	wantLines(t, f.texts("stdout"), "3", "4", "5")
	wantLines(t, f.texts("stderr"), "e1")
	for _, again := range f.lines {
		for _, was := range sent {
			if again.GetStream() == was.GetStream() && again.GetLineNumber() == was.GetLineNumber() &&
				(again.GetSession() != was.GetSession() || again.GetMessage() != was.GetMessage() || !again.GetTime().AsTime().Equal(was.GetTime().AsTime())) {
				t.Errorf("LOG-3: %v was sent again as %v", was, again)
			}
		}
	}
}

func TestLog3NothingOfTheLogChangesTheOutcome(t *testing.T) {
	const noisy = "yes 'a line of some length, again and again' | head -n 60000; exit 3"
	for name, onStream := range map[string]func(f *fake, nth int, s lineStream) error{
		"not implemented": func(*fake, int, lineStream) error { return status.Error(codes.Unimplemented, "no sink") },
		"refused":         func(*fake, int, lineStream) error { return status.Error(codes.Unauthenticated, "no") },
		"taken over":      func(*fake, int, lineStream) error { return status.Error(codes.Aborted, "a newer stream") },
		"always broken":   func(*fake, int, lineStream) error { return status.Error(codes.Internal, "broken") },
		"ends early":      func(*fake, int, lineStream) error { return nil },
		"never available": func(*fake, int, lineStream) error { return status.Error(codes.Unavailable, "later") },
		"never reads":     func(_ *fake, _ int, s lineStream) error { <-s.Context().Done(); return nil },
		"never ends":      func(f *fake, _ int, s lineStream) error { _, _ = f.take(s, nil); <-s.Context().Done(); return nil },
		"breaks after some": func(f *fake, _ int, s lineStream) error {
			_, _ = f.take(s, func(*agentv1.LogLine) bool { return true })
			return status.Error(codes.Unavailable, "later")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: bash(noisy)}
			f.onStream = func(nth int, s lineStream) error { return onStream(f, nth, s) }
			b := newBench(t, f)
			b.pace.flush = 200 * time.Millisecond
			if code := b.run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			wantOutcome(t, f.terminal(t), failure, 3, "exited with code 3")
			if !strings.Contains(b.log.String(), "the log is incomplete") {
				t.Errorf("the agent does not say so in %s", b.log.String())
			}
		})
	}
}

func TestLog3ShippingRecoversAndTellsWhatWasDropped(t *testing.T) {
	dropping, open := gate(t)
	f := &fake{}
	printed := make(chan struct{}, 1)
	f.onBeat = func(context.Context, int) (*agentv1.HeartbeatResponse, error) {
		return &agentv1.HeartbeatResponse{}, nil
	}
	done, gone := fifo(t)
	f.spec = bash("exec 9>'" + done + "'; yes 'a line of some length, again and again' | head -n 60000; exec 9>&-; " + dropping + "; echo after")
	f.onStream = func(_ int, s lineStream) error {
		select { // take nothing until the task has printed all, which it can only by lines being dropped
		case <-gone:
			printed <- struct{}{}
		case <-s.Context().Done():
		}
		_, err := f.take(s, func(l *agentv1.LogLine) bool {
			if l.GetStream() == "agent" {
				open()
			}
			return false
		})
		return err
	}
	newBench(t, f).run(t)
	<-printed
	wantOutcome(t, f.terminal(t), success, 0, "")
	if got := f.texts("agent"); len(got) == 0 || !strings.HasSuffix(got[0], " lines were dropped while the control plane took none") {
		t.Errorf("the agent says %q", got)
	}
	out := f.texts("stdout")
	last := f.lines[slices.IndexFunc(f.lines, func(l *agentv1.LogLine) bool { return l.GetMessage() == "after" })]
	if last.GetLineNumber() != 60001 || len(out) >= 60001 {
		t.Errorf("LOG-4: %d lines, the last one is %v", len(out), last)
	}
}

func TestLog3UnauthenticatedStreamIsOpenedAgainWithARenewedToken(t *testing.T) {
	script, open := gate(t)
	f := &fake{spec: bash("echo one; " + script)}
	renewed := make(chan struct{})
	f.onStream = func(nth int, s lineStream) error {
		if nth == 1 {
			<-renewed
			return status.Error(codes.Unauthenticated, "expired")
		}
		open()
		_, err := f.take(s, nil)
		return err
	}
	f.onBeat = func(_ context.Context, nth int) (*agentv1.HeartbeatResponse, error) {
		if nth == 2 {
			close(renewed)
		}
		return &agentv1.HeartbeatResponse{RenewedToken: "renewed.token"}, nil
	}
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	wantLines(t, f.texts("stdout"), "one")
	if !f.used()["StreamLogs Bearer renewed.token"] {
		t.Error("the stream was not opened with the renewed token")
	}
}

func TestLog2BacklogIsBounded(t *testing.T) {
	b := newBacklog(1, time.Millisecond)
	line := strings.Repeat("x", 64<<10)
	for range 200 { // sent and never acknowledged
		b.put(streamStdout, agentv1.LogLevel_LOG_LEVEL_INFO, line)
		e, _, _ := b.next()
		b.commit(e)
	}
	if b.kept > maxKept || b.queued != 0 || b.losses() != 0 {
		t.Errorf("kept %d bytes, queued %d, lost %d", b.kept, b.queued, b.losses())
	}
	for range 200 { // not sent
		b.put(streamStderr, agentv1.LogLevel_LOG_LEVEL_ERROR, line)
		b.note(agentv1.LogLevel_LOG_LEVEL_WARN, "note")
		b.note(agentv1.LogLevel_LOG_LEVEL_WARN, "note")
	}
	if b.queued > maxQueued+maxNotes*2*lineOverhead || b.losses() == 0 || len(b.lanes[streamAgent].entries) > maxNotes {
		t.Errorf("queued %d bytes, lost %d", b.queued, b.losses())
	}
	b.rewind()
	var numbers []int64
	for {
		e, _, _ := b.next()
		if e == nil {
			break
		}
		if e.line.GetStream() == streamStdout {
			numbers = append(numbers, e.line.GetLineNumber())
		}
		b.ack(streamStdout, e.line.GetLineNumber()) // before the commit, as a quick server may
		b.commit(e)
	}
	if len(numbers) < 50 || !slices.IsSorted(numbers) || numbers[len(numbers)-1] != 200 {
		t.Errorf("sent again %v", numbers)
	}
	if left := len(b.lanes[streamStdout].entries); left != 0 {
		t.Errorf("%d acknowledged lines are still kept", left)
	}
	b.ack(streamStderr, 1<<62)
	b.abandon()
	b.put(streamStdout, agentv1.LogLevel_LOG_LEVEL_INFO, "late")
	if b.queued != 0 || b.kept != 0 {
		t.Errorf("after all is let go: queued %d, kept %d", b.queued, b.kept)
	}
}
