package agentrpc

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestAuth10AStreamOutlivesItsTokenWhileItsAttemptMayLog opens a stream with a real
// token of a minute, which it outlives by a day for as long as the attempt is live,
// and by the grace after that; a call anew is refused all the while.
func TestAuth10AStreamOutlivesItsTokenWhileItsAttemptMayLog(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		tok := agentTokens(t, time.Now)
		r.guard.AuthenticateAgent = tok.AuthenticateAgent
		token, expires, err := tok.MintAgent(testIdentity, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		ctx = bearing(ctx, token)
		var end atomic.Pointer[time.Time]
		r.admitAt.until = func() time.Time { return *end.Load() }
		end.Store(&time.Time{}) // live
		stream := openStream(ctx, 0)
		ended := r.run(stream)
		stream.in <- line("stdout", 1, "while the token is good")
		writer := <-r.sink.opened

		<-time.After(24 * time.Hour) // on the bubble's clock
		if time.Until(expires) > 0 {
			t.Fatal("the token is good still")
		}
		wantCode(t, r.StreamLogs(newStream(ctx, line("stdout", 2, "anew"))), codes.Unauthenticated)
		stream.in <- line("stdout", 2, "after its end")
		synctest.Wait()
		if n := len(writer.kept()); n != 2 {
			t.Errorf("kept %d lines, want 2", n)
		}

		over := time.Now().Add(domain.LogGrace) // the attempt ends
		end.Store(&over)
		<-time.After(domain.LogGrace - readmitEvery)
		stream.in <- line("stdout", 3, "within the grace")
		wantCode(t, <-ended, codes.FailedPrecondition)
		if late := time.Since(over); late < 0 || late > readmitQuietEvery {
			t.Errorf("ended %v after the grace", late)
		}
		if n := len(writer.kept()); n != 3 || !writer.isClosed() {
			t.Errorf("kept %d lines, closed %v", n, writer.isClosed())
		}
	})
}

// TestAuth10AStreamEndsWithItsAttemptThoughItsTokenIsGood is the other side: the
// token admits, the attempt's end does not.
func TestAuth10AStreamEndsWithItsAttemptThoughItsTokenIsGood(t *testing.T) {
	inBubble(t, func(t *testing.T, r *lineRig, ctx context.Context) {
		tok := agentTokens(t, time.Now)
		r.guard.AuthenticateAgent = tok.AuthenticateAgent
		token, _, err := tok.MintAgent(testIdentity, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ended := r.run(openStream(bearing(ctx, token), 0))
		synctest.Wait()
		r.fail("MayLog", domain.ErrUnknown)
		wantCode(t, <-ended, codes.FailedPrecondition)
		if _, err := tok.AuthenticateAgent(token); err != nil {
			t.Errorf("the token was not good: %v", err)
		}
	})
}
