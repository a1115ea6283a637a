package agentrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
)

// inBubble runs a test on a clock of its own, which also proves that no goroutine
// of the server outlives the call whose context has ended.
func inBubble(t *testing.T, test func(t *testing.T, r *lineRig, ctx context.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(good(t))
		defer cancel()
		test(t, newLineRig(), ctx)
	})
}

// run runs StreamLogs aside and returns how it will have ended.
func (r *lineRig) run(stream *fakeStream) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- r.StreamLogs(stream) }()
	return ended
}

func TestLog5AcksComeWhileLinesFlow(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		stream := openStream(ctx, 0)
		ended := r.run(stream)
		for i := int64(1); i <= 3; i++ {
			stream.in <- line("stdout", i, "x")
			synctest.Wait()
			if got := stream.sent(); int64(len(got)) != i || got[i-1] != fmt.Sprint("stdout:", i) {
				t.Fatalf("acks %v after line %d", got, i)
			}
		}
		close(stream.in)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		w := <-r.sink.opened
		if !w.isClosed() || len(w.kept()) != 3 {
			t.Errorf("closed %v, kept %v", w.isClosed(), w.kept())
		}
	})
}

func TestLog2LinesKeepOrderNumberAndSession(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		r.SetLogPublisher(fakePublisher{r.script})
		sent := []*agentv1.LogLine{
			{Stream: "stdout", LineNumber: 1, Session: 9, Message: "a"},
			{Stream: "stderr", LineNumber: -4, Message: "b"},
			{Stream: "stdout", LineNumber: 3, Session: 9, Message: "c", Level: agentv1.LogLevel_LOG_LEVEL_ERROR},
		}
		if err := r.StreamLogs(newStream(ctx, sent...)); err != nil {
			t.Fatal(err)
		}
		now := time.Now().UTC()
		want := []logs.Line{
			{Event: logs.Event{Time: now, Level: "info", Stream: "stdout", Message: "a"}, Number: 1, Session: 9},
			{Event: logs.Event{Time: now, Level: "info", Stream: "stderr", Message: "b"}},
			{Event: logs.Event{Time: now, Level: "error", Stream: "stdout", Message: "c"}, Number: 3, Session: 9},
		}
		if got := (<-r.sink.opened).kept(); !slices.Equal(got, want) {
			t.Errorf("kept %v, want %v", got, want)
		}
		if n := r.count("Publish"); n != 3 {
			t.Errorf("published %d lines", n)
		}
		if got := r.last("OpenLines"); got != logs.RefOf(testIdentity.Attempt()) {
			t.Errorf("opened %v", got)
		}
	})
}

func TestLog12AcksCoalesceToTheLatestAndSlowNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		stream := openStream(ctx, 0)
		out := make(chan *agentv1.LogAck)
		stream.send = func(ack *agentv1.LogAck) error {
			out <- ack
			return nil
		}
		ended := r.run(stream)
		const lines = 1000
		stream.in <- line("stdout", 1, "x")
		synctest.Wait()                      // the ack of it is on its way
		for i := int64(2); i <= lines; i++ { // the client reads nothing meanwhile
			stream.in <- line("stdout", i, "x")
		}
		synctest.Wait()
		if n := len((<-r.sink.opened).kept()); n != lines {
			t.Fatalf("took %d lines", n)
		}
		if first := ackText(<-out); first != "stdout:1" {
			t.Errorf("first ack %s", first)
		}
		if second := ackText(<-out); second != "stdout:1000" {
			t.Errorf("second ack %s, want the latest", second)
		}
		close(stream.in)
		if last := ackText(<-out); last != "stdout:1000" {
			t.Errorf("final ack %s", last)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestLog5FinalAcksComeAfterHalfCloseAndClose(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		stream := newStream(ctx, line("stdout", 1, "a"), line("agent", 0, "b"), line("stdout", 2, "c"))
		r.at("Close", func(context.Context) error {
			stream.mu.Lock()
			defer stream.mu.Unlock()
			stream.acks = nil // what came before it does not count
			return nil
		})
		if err := r.StreamLogs(stream); err != nil {
			t.Fatal(err)
		}
		got := stream.sent()
		for _, want := range []string{"stdout:2", "agent:0"} {
			if !slices.Contains(got, want) {
				t.Errorf("acks %v after the close, want %s among them", got, want)
			}
		}
	})
}

func TestLog12AClientThatNeverReadsAcksDelaysTheEndOnlyWithinBounds(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		stream := newStream(ctx, line("stdout", 1, "a"), line("stdout", 2, "b"))
		stream.send = func(*agentv1.LogAck) error {
			<-ctx.Done()
			return ctx.Err()
		}
		began := time.Now()
		if err := r.StreamLogs(stream); err != nil {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(began); took != finalAcksWithin {
			t.Errorf("took %v, want %v", took, finalAcksWithin)
		}
		if w := <-r.sink.opened; len(w.kept()) != 2 || !w.isClosed() {
			t.Errorf("kept %v, closed %v", w.kept(), w.isClosed())
		}
	})
}

func TestLog12AClientThatLeavesEndsTheWaitForItsAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLineRig()
		ctx, cancel := context.WithCancel(good(t))
		stream := newStream(ctx, line("stdout", 1, "a"))
		stream.send = func(*agentv1.LogAck) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ended := r.run(stream)
		synctest.Wait()
		cancel()
		wantCode(t, <-ended, codes.Canceled)
		if n := r.count("Close"); n == 0 {
			t.Error("not closed")
		}
	})
}

func TestLog13ANewerCallTakesOver(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		older := openStream(ctx, 0)
		olderEnded := r.run(older)
		older.in <- line("stdout", 1, "a")
		synctest.Wait()
		newer := openStream(ctx, 0)
		newerEnded := r.run(newer)
		err := <-olderEnded
		wantCode(t, err, codes.Aborted)
		if reason := errorInfo(err).GetReason(); reason != "TAKEN_OVER" {
			t.Errorf("reason %q", reason)
		}
		first, second := <-r.sink.opened, <-r.sink.opened
		if !first.isClosed() || len(first.kept()) != 1 || second.isClosed() {
			t.Errorf("older closed %v with %v, newer closed %v", first.isClosed(), first.kept(), second.isClosed())
		}
		newer.in <- line("stdout", 2, "b")
		close(newer.in)
		if err := <-newerEnded; err != nil {
			t.Errorf("the newer ends with %v", err)
		}
	})
}

func TestLog10DrainMakesDurableAcksAndEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		stream := openStream(ctx, 0)
		ended := r.run(stream)
		stream.in <- line("stdout", 1, "a")
		synctest.Wait()
		before := len(stream.sent())
		r.at("Close", func(context.Context) error {
			select {
			case err := <-ended:
				t.Errorf("ended with %v before the close", err)
			default:
			}
			return nil
		})
		r.Drain()
		r.Drain() // again is harmless
		err := <-ended
		wantCode(t, err, codes.Unavailable)
		if reason := errorInfo(err).GetReason(); reason != "SHUTTING_DOWN" {
			t.Errorf("reason %q", reason)
		}
		if w := <-r.sink.opened; !w.isClosed() {
			t.Error("not closed")
		}
		if got := stream.sent(); len(got) <= before || got[len(got)-1] != "stdout:1" {
			t.Errorf("acks %v, want one more after the close", got)
		}
		// A new stream ends at once.
		began := time.Now()
		wantCode(t, r.StreamLogs(openStream(ctx, 0)), codes.Unavailable)
		if took := time.Since(began); took != 0 {
			t.Errorf("a new stream took %v to end", took)
		}
	})
}

func TestLog10DrainDoesNotWaitForAClientThatReadsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		stream := openStream(ctx, 0)
		stream.send = func(*agentv1.LogAck) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ended := r.run(stream)
		stream.in <- line("stdout", 1, "a")
		synctest.Wait()
		began := time.Now()
		r.Drain()
		wantCode(t, <-ended, codes.Unavailable)
		if took := time.Since(began); took != lastAcksWithin {
			t.Errorf("took %v, want %v", took, lastAcksWithin)
		}
	})
}

func TestLineSinkFailuresEndTheCallAndCloseTheWriter(t *testing.T) {
	for name, c := range map[string]struct {
		at     string
		err    error
		want   codes.Code
		closed bool
	}{
		"open fails":                     {"OpenLines", errors.New(secret), codes.Internal, false},
		"open unavailable":               {"OpenLines", fmt.Errorf("%s: %w", secret, domain.ErrUnavailable), codes.Unavailable, false},
		"append fails":                   {"Append", errors.New(secret), codes.Internal, true},
		"append fails at an end of file": {"Append", fmt.Errorf("%s: %w", secret, io.EOF), codes.Internal, true},
		"append unavailable":             {"Append", fmt.Errorf("%s: %w", secret, domain.ErrUnavailable), codes.Unavailable, true},
		"append superseded":              {"Append", fmt.Errorf("%s: %w", secret, domain.ErrAborted), codes.Aborted, true},
		"append of a dead attempt":       {"Append", fmt.Errorf("%s: %w", secret, domain.ErrFinished), codes.FailedPrecondition, true},
		"close fails":                    {"Close", errors.New(secret), codes.Internal, true},
		"close fails at an end of file":  {"Close", fmt.Errorf("%s: %w", secret, io.EOF), codes.Internal, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
				r.fail(c.at, c.err)
				stream := newStream(ctx, line("stdout", 1, "a"))
				wantCode(t, r.StreamLogs(stream), c.want)
				if closed := r.count("Close") > 0; closed != c.closed {
					t.Errorf("closed: %v", closed)
				}
				if c.at == "Close" && len(stream.sent()) > 1 {
					t.Errorf("acknowledged %v though the close failed", stream.sent())
				}
			})
		})
	}
}

func TestAFailingCloseIsToldAndLoggedWhateverElseEndsTheCall(t *testing.T) {
	for _, how := range []string{"drain", "client gone"} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *lineRig, _ context.Context) {
				ctx, leave := context.WithCancel(good(t))
				defer leave()
				r.fail("Close", errors.New(secret))
				ended := r.run(openStream(ctx, 0))
				synctest.Wait()
				if how == "drain" {
					r.Drain()
				} else {
					leave()
				}
				wantInternal(t, <-ended)
				failed := r.log.lines(t, "call failed")
				if len(failed) != 1 || failed[0]["level"] != "ERROR" || !strings.Contains(failed[0]["cause"].(string), secret) {
					t.Errorf("logged %v", failed)
				}
			})
		})
	}
}

func TestErr2APanicInAnyGoroutineOfAStreamIsInternalLoggedAndLeavesNothingBehind(t *testing.T) {
	for _, method := range []string{"OpenLines", "Append", "Ready", "Acks", "Superseded", "Close", "Publish", "MayLog"} {
		t.Run(method, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
				r.SetLogPublisher(fakePublisher{r.script})
				panicked := false
				r.at(method, func(context.Context) error {
					if panicked {
						return nil
					}
					panicked = true
					panic(errors.New(secret))
				})
				stream := openStream(ctx, 1)
				stream.in <- line("stdout", 1, "a")
				ended := r.run(stream)
				synctest.Wait() // whoever the line makes ask has asked: an end might be before that
				close(stream.in)
				wantInternal(t, <-ended)
				r.wantPanicLogged(t, rpcNamed("StreamLogs").method)
				if n := r.count("Close"); n != 1 && method != "OpenLines" && method != "MayLog" {
					t.Errorf("the writer was closed %d times", n)
				}
				if err := r.StreamLogs(newStream(ctx, line("stdout", 1, "a"))); err != nil {
					t.Errorf("the server does not go on: %v", err)
				}
			})
		})
	}
}
