package agentrpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/neochaotic/leoflow/internal/domain"
)

func TestLog9AdmissionAtTheOpening(t *testing.T) {
	for name, c := range map[string]struct {
		until func() time.Time
		err   error
		want  codes.Code
		word  string
	}{
		"live":              {nil, nil, codes.OK, ""},
		"within the grace":  {func() time.Time { return time.Now().Add(time.Second) }, nil, codes.OK, ""},
		"the grace is over": {func() time.Time { return time.Now().Add(-time.Second) }, nil, codes.FailedPrecondition, "finished"},
		"unknown":           {nil, fmt.Errorf("%s: %w", secret, domain.ErrUnknown), codes.FailedPrecondition, "unknown"},
		"no answer":         {nil, errors.New(secret), codes.OK, ""},
		"unavailable":       {nil, fmt.Errorf("%s: %w", secret, domain.ErrUnavailable), codes.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
				r.admitAt.until = c.until
				r.fail("MayLog", c.err)
				err := r.StreamLogs(newStream(ctx, line("stdout", 1, "a")))
				wantCode(t, err, c.want)
				if word := errorInfo(err).GetMetadata()["termination_reason"]; word != c.word {
					t.Errorf("reason %q, want %q", word, c.word)
				}
				if opened := r.count("OpenLines") == 1; opened != (c.want == codes.OK) {
					t.Errorf("opened: %v", opened)
				}
				if logged := len(r.log.lines(t, "end of logging not looked up")); c.err != nil && c.want == codes.OK && logged == 0 {
					t.Error("the store's failure is not logged")
				}
			})
		})
	}
}

func TestLog9AStoreThatHangsHoldsUpNoLog(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		r.at("MayLog", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		began := time.Now()
		if err := r.StreamLogs(newStream(ctx, line("stdout", 1, "a"))); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > definitiveWithin {
			t.Errorf("took %v", took)
		}
	})
}

func TestLog9AnOpenStreamEndsWithTheGrace(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		began := time.Now()
		over := began.Add(domain.LogGrace)
		r.admitAt.until = func() time.Time { return over }
		stream := openStream(ctx, 0)
		ended := r.run(stream)
		stream.in <- line("stdout", 1, "a")
		err := <-ended
		wantCode(t, err, codes.FailedPrecondition)
		if word := errorInfo(err).GetMetadata()["termination_reason"]; word != "finished" {
			t.Errorf("reason %q", word)
		}
		if took := time.Since(began); took < domain.LogGrace || took > domain.LogGrace+readmitQuietEvery {
			t.Errorf("ended after %v", took)
		}
		if w := <-r.sink.opened; !w.isClosed() || len(w.kept()) != 1 {
			t.Errorf("closed %v, kept %v", w.isClosed(), w.kept())
		}
	})
}

func TestLog9AStreamThatSendsIsLookedAtAsOftenAsIsSet(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		const every = 100 * time.Millisecond
		r.SetStreamLooks(every)
		over := time.Now().Add(time.Second)
		r.admitAt.until = func() time.Time { return over }
		stream := openStream(ctx, 0)
		ended := r.run(stream)
		for n := int64(1); ; n++ {
			select {
			case stream.in <- line("stdout", n, "a"):
				<-time.After(10 * time.Millisecond) // on the bubble's clock
			case err := <-ended:
				wantCode(t, err, codes.FailedPrecondition)
				if late := time.Since(over); late < 0 || late > 2*every {
					t.Errorf("ended %v after the grace", late)
				}
				return
			}
		}
	})
}

func TestLimit3ALiveAttemptsQuietStreamIsNeverEnded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		stream := openStream(ctx, 0)
		ended := r.run(stream)
		<-time.After(24 * time.Hour) // on the bubble's clock
		select {
		case err := <-ended:
			t.Fatalf("ended with %v", err)
		default:
		}
		close(stream.in)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAuth10OnlyADefinitiveWordEndsAnOpenStream(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		var asked atomic.Int64
		r.at("MayLog", func(context.Context) error {
			switch asked.Add(1) {
			case 1:
				return nil
			case 2:
				return errors.New(secret)
			case 3:
				return fmt.Errorf("%s: %w", secret, domain.ErrUnavailable)
			default:
				return domain.ErrUnknown
			}
		})
		began := time.Now()
		wantCode(t, <-r.run(openStream(ctx, 0)), codes.FailedPrecondition)
		if took := time.Since(began); took != 3*readmitQuietEvery {
			t.Errorf("ended after %v, want the third look", took)
		}
	})
}

// TestLog5AcksComeWhileTheAttemptIsLookedAt has the store hang at the second look.
func TestLog5AcksComeWhileTheAttemptIsLookedAt(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		stream := openStream(ctx, 0)
		ended := r.run(stream)
		stream.in <- line("stdout", 1, "a")
		synctest.Wait()
		r.at("MayLog", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		<-time.After(readmitEvery) // on the bubble's clock
		synctest.Wait()
		if n := r.count("MayLog"); n != 2 {
			t.Fatalf("looked %d times, want the second look under way", n)
		}
		stream.in <- line("stdout", 2, "b")
		synctest.Wait()
		if got := stream.sent(); !slices.Equal(got, []string{"stdout:1", "stdout:2"}) {
			t.Errorf("acks %v while the store hangs", got)
		}
		close(stream.in)
		synctest.Wait()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the end waits for the store")
		}
	})
}

func TestErr2APanicAsAnOpenStreamIsLookedAtAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		ended := r.run(openStream(ctx, 0))
		synctest.Wait()
		r.at("MayLog", func(context.Context) error { panic(errors.New(secret)) })
		wantInternal(t, <-ended)
		r.wantPanicLogged(t, rpcNamed("StreamLogs").method)
		if w := <-r.sink.opened; !w.isClosed() {
			t.Error("the writer is left open")
		}
	})
}

// TestLog9AStreamThatSendsIsLookedAtOftenerThanAQuietOne counts the looks.
func TestLog9AStreamThatSendsIsLookedAtOftenerThanAQuietOne(t *testing.T) {
	for name, c := range map[string]struct {
		sends bool
		want  int
	}{"quiet": {false, 1 + 5}, "sending": {true, 1 + 60}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
				stream := openStream(ctx, 0)
				ended := r.run(stream)
				for n := range int64(300) { // five minutes on the bubble's clock
					if c.sends {
						stream.in <- line("stdout", n+1, "a")
					}
					<-time.After(time.Second)
				}
				close(stream.in)
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if got := r.count("MayLog"); got < c.want-1 || got > c.want {
					t.Errorf("looked %d times, want about %d", got, c.want)
				}
			})
		})
	}
}

// TestLog9ManyLookAtAStoreThatHangsAndNoneWaitsForLonger: few ask it at a time, and who
// does not get to ask waits no longer than who does.
func TestLog9ManyLookAtAStoreThatHangsAndNoneWaitsForLonger(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		var asking, most atomic.Int64
		r.at("MayLog", func(ctx context.Context) error {
			n := asking.Add(1)
			defer asking.Add(-1)
			for before := most.Load(); n > before && !most.CompareAndSwap(before, n); before = most.Load() {
				continue // another came between
			}
			<-ctx.Done()
			return ctx.Err()
		})
		began := time.Now()
		var looks sync.WaitGroup
		for range 3 * admitsAtOnce {
			looks.Go(func() {
				if err := (&logCall{Server: r.Server, id: &testIdentity}).open(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		looks.Wait()
		if took := time.Since(began); took != definitiveWithin {
			t.Errorf("took %v, want %v", took, definitiveWithin)
		}
		if n := most.Load(); n != admitsAtOnce {
			t.Errorf("%d asked at a time, want %d", n, admitsAtOnce)
		}
		r.fail("MayLog", domain.ErrFinished)
		if err := (&logCall{Server: r.Server, id: &testIdentity}).open(ctx); !errors.Is(err, domain.ErrFinished) {
			t.Errorf("the next to ask is told %v", err)
		}
	})
}

// TestLog13ACallThatIsGoneTakesNoLogOver has a call's client leave while the store is asked: the
// call that the agent opens instead may have the log already.
func TestLog13ACallThatIsGoneTakesNoLogOver(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		ctx, leave := context.WithCancel(ctx)
		r.at("MayLog", func(context.Context) error {
			leave()
			return nil
		})
		if err := r.StreamLogs(newStream(ctx, line("stdout", 1, "a"))); err == nil {
			t.Error("the call goes on")
		}
		if n := r.count("OpenLines"); n != 0 {
			t.Errorf("the log was opened %d times", n)
		}
	})
}
