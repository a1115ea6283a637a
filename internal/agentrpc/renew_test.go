package agentrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// renewingAuthn is an Authenticator that renews each token whenever it is asked.
type renewingAuthn struct{ fakeAuthn }

type renewal struct {
	Token string
	ID    auth.AgentIdentity
}

func (f renewingAuthn) RenewAgent(token string, id auth.AgentIdentity) (string, error) {
	if err := f.called(context.Background(), "RenewAgent", renewal{token, id}); err != nil {
		return "", err
	}
	return "renewed", nil
}

// newRenewingRig is newRig with an Authenticator that renews.
func newRenewingRig() *rig {
	r := newRig()
	cancels := &cancelStore{plainStore{r.script}, fakeCancels{r.script, time.Now(), true}}
	log := r.guard.Logger
	r.Server = unhurried(NewServer(renewingAuthn{fakeAuthn{r.script}}, cancels, plainXCom{r.script}))
	r.SetLogger(log)
	return r
}

func TestToken1ALiveAttemptGetsARenewedToken(t *testing.T) {
	r := newRenewingRig()
	resp := r.beat(t, good(t))
	if resp.GetRenewedToken() != "renewed" || resp.GetShouldTerminate() || resp.GetReason() != 0 {
		t.Errorf("answer %v", resp)
	}
	if got := r.last("RenewAgent"); got != (renewal{"good", testIdentity}) {
		t.Errorf("asked to renew %v", got)
	}
	if asked := strings.Join(r.asked(), " "); asked != "AuthenticateAgent RecordHeartbeat RenewAgent" {
		t.Errorf("asked in the order %s", asked)
	}
}

func TestToken1NobodyIsAskedToRenewATokenThatIsNotDue(t *testing.T) {
	due := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]string{due.Add(-1): "", due: "renewed"} {
		r := newRenewingRig()
		r.SetClock(func() time.Time { return at })
		r.guard.AuthenticateAttempt = func(string) (*auth.Bearer, error) {
			return &auth.Bearer{AgentIdentity: testIdentity, Undue: due}, nil
		}
		if got := r.beat(t, good(t)).GetRenewedToken(); got != want || r.count("RenewAgent") != len(want)/len("renewed") {
			t.Errorf("at %v: renewed %q, asked %d times", at, got, r.count("RenewAgent"))
		}
	}
}

func TestToken1OnlyADefinitiveLiveRenews(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		ends bool
	}{
		"cancelled":   {domain.ErrCancelled, true},
		"superseded":  {fmt.Errorf("w: %w", domain.ErrSuperseded), true},
		"finished":    {domain.ErrFinished, true},
		"lost":        {domain.ErrLost, true},
		"timed out":   {domain.ErrTimedOut, true},
		"unknown":     {domain.ErrUnknown, true},
		"unavailable": {domain.ErrUnavailable, false},
		"overloaded":  {domain.ErrOverloaded, false},
		"no tenant":   {domain.ErrNoTenant, false},
		"some fault":  {errors.New(secret), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenewingRig()
			r.fail("RecordHeartbeat", c.err)
			resp := r.beat(t, good(t))
			if resp.GetRenewedToken() != "" || resp.GetShouldTerminate() != c.ends {
				t.Errorf("answer %v", resp)
			}
			if n := r.count("RenewAgent"); n != 0 {
				t.Errorf("asked to renew %d times", n)
			}
		})
	}
}

func TestToken1AStoreThatHangsRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRenewingRig().hurried()
		release := make(chan struct{})
		r.at("RecordHeartbeat", func(context.Context) error {
			<-release
			return nil // live, but too late
		})
		wantIndefinite(t, r.beat(t, good(t)))
		close(release)
		synctest.Wait()
		if n := r.count("RenewAgent"); n != 0 {
			t.Errorf("asked to renew %d times", n)
		}
	})
}

// TestToken1AnAnswerAskedForBeforeTheCallRenewsNothing holds the store's "live" back
// until another beat has joined: that word may be older than the other's call.
func TestToken1AnAnswerAskedForBeforeTheCallRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRenewingRig().hurried()
		release := make(chan struct{})
		r.at("RecordHeartbeat", func(context.Context) error {
			<-release
			return nil
		})
		var beats sync.WaitGroup
		beats.Go(func() {
			if resp := r.beat(t, good(t)); resp.GetRenewedToken() == "" {
				t.Error("the beat that asked is not renewed")
			}
		})
		synctest.Wait()
		for range 3 {
			beats.Go(func() { wantIndefinite(t, r.beat(t, good(t))) })
		}
		synctest.Wait()
		close(release)
		beats.Wait()
		if n := r.count("RecordHeartbeat"); n != 1 {
			t.Fatalf("the store was asked %d times", n)
		}
		if resp := r.beat(t, good(t)); resp.GetRenewedToken() == "" {
			t.Error("the next beat is not renewed")
		}
	})
}

func TestToken1ARefusedTokenIsNotRenewed(t *testing.T) {
	r := newRenewingRig()
	if _, err := r.Heartbeat(bearing(t.Context(), "bad"), &agentv1.HeartbeatRequest{}); err == nil {
		t.Error("taken")
	}
	if got := r.touched(); len(got) != 0 {
		t.Errorf("asked %v", got)
	}
}

func TestToken3ARenewalThatFailsIsLoggedAndTheBeatIsGood(t *testing.T) {
	r := newRenewingRig()
	r.fail("RenewAgent", errors.New(secret))
	wantIndefinite(t, r.beat(t, good(t)))
	logged := r.log.lines(t, "token not renewed")
	if len(logged) != 1 || logged[0]["cause"] != secret || logged[0]["task_instance_id"] != testIdentity.TaskInstanceID {
		t.Errorf("logged %v", logged)
	}
}

func TestErr2APanicAsATokenIsRenewed(t *testing.T) {
	r := newRenewingRig()
	r.at("RenewAgent", func(context.Context) error { panic(secret) })
	wantInternal(t, rpcNamed("Heartbeat").call(good(t), r.Server))
	r.wantPanicLogged(t, rpcNamed("Heartbeat").method)
}

func TestAuth8ARenewedTokenIsNotLogged(t *testing.T) {
	tok := agentTokens(t, time.Now)
	r := rigWith(tok, newScript())
	token := aged(t, time.Now())
	resp := r.beat(t, bearing(t.Context(), token))
	if resp.GetRenewedToken() == "" {
		t.Fatal("not renewed")
	}
	for what, canary := range map[string]string{"presented": token, "renewed": resp.GetRenewedToken()} {
		if strings.Contains(r.log.String(), canary) {
			t.Errorf("the log holds the %s token", what)
		}
	}
}

// agentTokens are real tokens, on a clock.
func agentTokens(t testing.TB, clock func() time.Time) *auth.Tokens {
	t.Helper()
	keys, err := auth.NewKeys(auth.Key{ID: "k", Secret: []byte(strings.Repeat("k", auth.MinKeyBytes))})
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewTokens(keys, clock)
}

// rigWith is a bare server that takes real tokens.
func rigWith(authn Authenticator, s *script) *rig {
	r := rigOf(s, plainStore{s}, plainXCom{s})
	log := r.guard.Logger
	r.Server = unhurried(NewServer(authn, plainStore{s}, plainXCom{s}))
	r.SetLogger(log)
	return r
}

// aged is the first token of testIdentity's attempt, launched 20 hours before now.
func aged(t testing.TB, now time.Time) string {
	t.Helper()
	launched := now.Add(-20 * time.Hour)
	token, _, err := agentTokens(t, func() time.Time { return launched }).MintAttempt(testIdentity, launched, time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestToken2AnAgentThatTakesRenewalsLivesToTheCeiling beats with the token that it
// was last given, until that is refused.
func TestToken2AnAgentThatTakesRenewalsLivesToTheCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tok := agentTokens(t, time.Now)
		r := rigWith(tok, newScript())
		launched := time.Now()
		token, _, err := tok.MintAttempt(testIdentity, launched, time.Nanosecond)
		if err != nil {
			t.Fatal(err)
		}
		renewals := 0
		for {
			<-time.After(15 * time.Minute) // on the bubble's clock
			resp, err := r.Heartbeat(bearing(t.Context(), token), &agentv1.HeartbeatRequest{})
			if err != nil {
				break
			}
			if renewed := resp.GetRenewedToken(); renewed != "" {
				token = renewed
				renewals++
			}
		}
		lived := time.Since(launched)
		if ceiling := auth.Ceiling(time.Nanosecond); lived < ceiling || lived > ceiling+auth.Leeway+15*time.Minute {
			t.Errorf("refused after %v, want the ceiling %v", lived, ceiling)
		}
		if renewals < 7 || renewals > 15 {
			t.Errorf("renewed %d times in a week", renewals)
		}
	})
}

// TestToken3AnAgentThatIgnoresRenewalsLivesToItsTokensEnd is one that is deployed.
func TestToken3AnAgentThatIgnoresRenewalsLivesToItsTokensEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tok := agentTokens(t, time.Now)
		r := rigWith(tok, newScript())
		launched := time.Now()
		token, expires, err := tok.MintAttempt(testIdentity, launched, time.Nanosecond)
		if err != nil {
			t.Fatal(err)
		}
		ignored := 0
		for time.Until(expires) > 0 {
			if resp := r.beat(t, bearing(t.Context(), token)); resp.GetRenewedToken() != "" {
				ignored++
			}
			<-time.After(15 * time.Minute) // on the bubble's clock
		}
		if ignored == 0 {
			t.Error("no renewal was there to ignore")
		}
		<-time.After(auth.Leeway)
		wantCode(t, rpcNamed("Heartbeat").call(bearing(t.Context(), token), r.Server), codes.Unauthenticated)
	})
}

// BenchmarkHeartbeat shows what renewal costs the beats that it is not due on.
func BenchmarkHeartbeat(b *testing.B) {
	now := time.Now()
	tok := agentTokens(b, func() time.Time { return now })
	fresh, _, err := tok.MintAttempt(testIdentity, now, time.Nanosecond)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		authn Authenticator
		store Store
		token string
		want  bool
	}{
		{"no renewer", struct{ Authenticator }{tok}, silentStore{}, fresh, false},
		{"not due", tok, silentStore{}, fresh, false},
		{"not due, of a prompt store", tok, silentPromptStore{}, fresh, false},
		{"due", tok, silentStore{}, aged(b, now), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := NewServer(c.authn, c.store, nil)
			ctx := bearing(b.Context(), c.token)
			for b.Loop() {
				resp, err := r.Heartbeat(ctx, &agentv1.HeartbeatRequest{})
				if err != nil || (resp.GetRenewedToken() != "") != c.want {
					b.Fatalf("%v, %v", resp, err)
				}
			}
		})
	}
}

// silentStore takes every beat.
type silentStore struct{ Store }

func (silentStore) RecordHeartbeat(context.Context, auth.AgentIdentity) error { return nil }

// silentPromptStore does so promptly.
type silentPromptStore struct{ silentStore }

func (silentPromptStore) PromptHeartbeat(context.Context, auth.AgentIdentity) (bool, error) {
	return true, nil
}

func (silentPromptStore) LoneHeartbeat(context.Context, auth.AgentIdentity) error { return nil }
