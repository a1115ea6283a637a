package auth_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"pgregory.net/rapid"
)

// timed are tokens on a clock that a test sets; it starts at now.
type timed struct {
	*auth.Tokens
	at time.Time
}

func newTimed(t testing.TB, keys ...auth.Key) *timed {
	t.Helper()
	set, err := auth.NewKeys(keys...)
	if err != nil {
		t.Fatal(err)
	}
	c := &timed{at: now}
	c.Tokens = auth.NewTokens(set, func() time.Time { return c.at })
	return c
}

// launched returns the first token of an attempt of the task's time-out, launched at now.
func (c *timed) launched(t testing.TB, timeout time.Duration) string {
	t.Helper()
	token, _, err := c.MintAttempt(agent, now, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// renew returns what a heartbeat at that time after now would bring.
func (c *timed) renew(t testing.TB, token string, after time.Duration) string {
	t.Helper()
	c.at = now.Add(after)
	renewed, err := c.RenewAgent(token, agent)
	if err != nil {
		t.Errorf("after %v: %v", after, err)
	}
	return renewed
}

// span reads when a token began and ends.
func span(t interface{ Fatal(...any) }, token string) (from, until time.Time) {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.IssuedAt.UTC(), claims.ExpiresAt.UTC()
}

const (
	hour = time.Hour
	day  = 24 * hour
	// brief is a time-out that adds nothing to a life, which is in whole seconds.
	brief = time.Nanosecond
)

func TestToken2TheFirstLifeCountsFromTheLaunch(t *testing.T) {
	for name, c := range map[string]struct {
		timeout time.Duration
		minted  time.Duration // after the launch
		life    time.Duration // from the launch
	}{
		"no time-out":              {0, 0, 31 * day},
		"a brief time-out":         {brief, 0, day},
		"a short time-out":         {hour, 0, day + hour},
		"a long time-out":          {30 * day, 0, 31 * day},
		"launched again":           {brief, 3 * hour, day},
		"launched again at last":   {brief, day - time.Second, day},
		"the store's clock before": {brief, -time.Second, day},
		"a time-out below none":    {-hour, 0, day},
	} {
		t.Run(name, func(t *testing.T) {
			tok := newTimed(t, first)
			tok.at = now.Add(c.minted)
			token, expires, err := tok.MintAttempt(agent, now, c.timeout)
			if err != nil {
				t.Fatal(err)
			}
			if _, until := span(t, token); !until.Equal(now.Add(c.life)) || !expires.Equal(until) {
				t.Errorf("ends at %v, said %v; want %v after the launch", until, expires, c.life)
			}
			if got, err := tok.AuthenticateAgent(token); err != nil || *got != agent {
				t.Errorf("identity %+v, error %v", got, err)
			}
		})
	}
}

func TestToken2AnAttemptOlderThanItsFirstTokenGetsNone(t *testing.T) {
	tok := newTimed(t, first)
	for _, launched := range []time.Time{now.Add(-day), now.Add(-8 * day), {}} {
		if token, _, err := tok.MintAttempt(agent, launched, brief); !errors.Is(err, domain.ErrPrecondition) || token != "" {
			t.Errorf("launched at %v: token %q, error %v", launched, token, err)
		}
	}
	incomplete := agent
	incomplete.TenantID = ""
	if token, _, err := tok.MintAttempt(incomplete, now, brief); !errors.Is(err, auth.ErrRefused) || token != "" {
		t.Errorf("AUTH-3: token %q, error %v", token, err)
	}
}

func TestToken2RenewalIsDueInTheLatterHalfOfALife(t *testing.T) {
	tok := newTimed(t, first)
	token := tok.launched(t, brief)
	for after, want := range map[time.Duration]bool{
		0:                                    false,
		12 * hour:                            false,
		12*hour + 1:                          true,
		23 * hour:                            true,
		day + auth.Leeway - time.Millisecond: true, // accepted still, and so is its renewal
	} {
		if got := tok.renew(t, token, after); (got != "") != want {
			t.Errorf("after %v: renewed %v, want %v", after, got != "", want)
		}
	}
}

// TestToken2NothingIsRenewedBeforeATokenSaysSo asks of one that is new to the verifier, and
// then of the same.
func TestToken2NothingIsRenewedBeforeATokenSaysSo(t *testing.T) {
	token := newTimed(t, first).launched(t, brief)
	for after, want := range map[time.Duration]bool{0: true, 12*hour - 1: true, 12 * hour: false, 12*hour + 1: false} {
		tok := newTimed(t, first)
		tok.at = now.Add(after)
		for range 2 {
			b, err := tok.AuthenticateAttempt(token)
			if err != nil || b.AgentIdentity != agent {
				t.Fatalf("after %v: %v, %v", after, b, err)
			}
			if early := tok.at.Before(b.Undue); early != want || early && tok.renew(t, token, after) != "" {
				t.Errorf("after %v: not due before %v", after, b.Undue)
			}
		}
	}
}

func TestToken2ARenewedTokenIsTheSameIdentityWithAFreshLife(t *testing.T) {
	tok := newTimed(t, first)
	token := tok.launched(t, hour)
	renewed := tok.renew(t, token, 20*hour)
	if got, err := tok.AuthenticateAgent(renewed); err != nil || *got != agent {
		t.Errorf("identity %+v, error %v", got, err)
	}
	from, until := span(t, renewed)
	if !from.Equal(now.Add(20*hour)) || until.Sub(from) != day+hour {
		t.Errorf("it lasts from %v to %v", from, until)
	}
	if got := tok.renew(t, renewed, 21*hour); got != "" {
		t.Error("the renewed one was due at once")
	}
	if got := tok.renew(t, renewed, 40*hour); got == "" {
		t.Error("the renewed one was never due")
	}
}

func TestToken2LaunchedAgainARenewalIsAsLongAsAFreshOne(t *testing.T) {
	tok := newTimed(t, first)
	tok.at = now.Add(22 * hour)
	token, _, err := tok.MintAttempt(agent, now, brief)
	if err != nil {
		t.Fatal(err)
	}
	from, until := span(t, tok.renew(t, token, 23*hour+time.Second))
	if until.Sub(from) != day {
		t.Errorf("renewed for %v", until.Sub(from))
	}
}

func TestToken2TheTotalNeverPassesTheCeiling(t *testing.T) {
	for timeout, ceiling := range map[time.Duration]time.Duration{
		0: 90 * day, brief: 7 * day, 6 * day: 7 * day, 6*day + time.Second: 7*day + time.Second, 30 * day: 31 * day,
	} {
		tok := newTimed(t, first)
		ends := now.Add(ceiling)
		tok.at = now.Add(20 * hour) // a launch repeated: it counts from the first
		token := tok.launched(t, timeout)
		// A heartbeat comes every hour, until the token that it has is refused.
		for after := 21 * hour; ; after += hour {
			if after > ceiling+day {
				t.Fatalf("time-out %v: still in use", timeout)
			}
			tok.at = now.Add(after)
			if _, err := tok.AuthenticateAgent(token); err != nil {
				break
			}
			if renewed := tok.renew(t, token, after); renewed != "" {
				token = renewed
			}
			if _, until := span(t, token); until.After(ends) {
				t.Fatalf("time-out %v: after %v a token until %v passes the ceiling %v", timeout, after, until, ends)
			}
		}
		if _, until := span(t, token); !until.Equal(ends) {
			t.Errorf("time-out %v: the last token ended %v before the ceiling", timeout, ends.Sub(until))
		}
	}
}

// TestToken2HoldsHoweverAnAttemptBeats launches, repeats the launch, and beats at
// any times, with any of the tokens that it ever got.
func TestToken2HoldsHoweverAnAttemptBeats(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tok := newTimed(t, first)
		seconds := func(name string, most time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(most)).Draw(rt, name))
		}
		timeout := seconds("timeout", 40*day)
		held := []string{tok.launched(t, timeout)}
		for range rapid.IntRange(1, 30).Draw(rt, "beats") {
			tok.at = tok.at.Add(seconds("wait", 2*day))
			if again, _, err := tok.MintAttempt(agent, now, timeout); err == nil {
				held = append(held, again)
			}
			presented := rapid.SampledFrom(held).Draw(rt, "presented")
			if _, err := tok.AuthenticateAgent(presented); err != nil {
				continue
			}
			renewed, err := tok.RenewAgent(presented, agent)
			if err != nil {
				rt.Fatal(err)
			}
			if renewed == "" {
				continue
			}
			held = append(held, renewed)
			from, until := span(rt, renewed)
			_, before := span(rt, presented)
			switch {
			case !from.Equal(tok.at.Truncate(time.Second)):
				rt.Fatalf("begins at %v, now is %v", from, tok.at)
			case until.Sub(tok.at) > auth.FreshLife(timeout):
				rt.Fatalf("lasts %v, a fresh one %v", until.Sub(tok.at), auth.FreshLife(timeout))
			case until.After(now.Add(auth.Ceiling(timeout))):
				rt.Fatalf("lasts until %v, past the ceiling", until)
			case !until.After(before):
				rt.Fatalf("ends at %v, no later than the presented one", until)
			}
			if got, err := tok.AuthenticateAgent(renewed); err != nil || *got != agent {
				rt.Fatalf("identity %+v, error %v", got, err)
			}
		}
	})
}

// leasedClaims are those of a token with a lease, half of whose life is over.
func leasedClaims() jwt.MapClaims {
	claims := with(agentClaims(), "iat", now.Add(-2*hour).Unix())
	claims["leoflow_renew_until"] = now.Add(day).Unix()
	claims["leoflow_renew_seconds"] = int64(day / time.Second)
	return claims
}

func TestToken2WhatHasNoLeaseIsNotRenewed(t *testing.T) {
	tok := newTimed(t, first)
	if got := tok.renew(t, signed(t, leasedClaims()), 0); got == "" {
		t.Fatal("a token with a lease is not renewed")
	}
	minted, _, err := tok.MintAgent(agent, day)
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.renew(t, minted, 20*hour); got != "" {
		t.Error("a token without a lease was renewed")
	}
	for name, claims := range map[string]jwt.MapClaims{
		"of another issuer with the key": with(agentClaims(), "iat", now.Add(-10*hour).Unix()),
		"no ceiling":                     without(leasedClaims(), "leoflow_renew_until"),
		"a ceiling of null":              with(leasedClaims(), "leoflow_renew_until", nil),
		"a ceiling in words":             with(leasedClaims(), "leoflow_renew_until", "never"),
		"a ceiling reached":              with(leasedClaims(), "leoflow_renew_until", now.Unix()),
		"a ceiling of the same end":      with(leasedClaims(), "leoflow_renew_until", now.Add(hour).Unix()),
		"no life":                        without(leasedClaims(), "leoflow_renew_seconds"),
		"a life of nothing":              with(leasedClaims(), "leoflow_renew_seconds", 0),
		"a life below nothing":           with(leasedClaims(), "leoflow_renew_seconds", -1),
		"a life past all bounds":         with(leasedClaims(), "leoflow_renew_seconds", int64(math.MaxInt64)),
		"a life in words":                with(leasedClaims(), "leoflow_renew_seconds", "long"),
		"an end of part of a second":     with(leasedClaims(), "exp", float64(now.Add(hour).Unix())+0.5),
		"no beginning":                   without(leasedClaims(), "iat"),
		"no beginning, no end":           without(without(leasedClaims(), "iat"), "exp"),
		"ends before it begins":          with(leasedClaims(), "iat", now.Add(10*day).Unix()),
	} {
		if got := tok.renew(t, signed(t, claims), 0); got != "" {
			t.Errorf("%s: renewed", name)
		}
	}
	for _, text := range []string{"", ".", "..", "a.b.c", "a.!.c", "a." + encode("null") + ".c", "a." + encode("[]") + ".c"} {
		if got := tok.renew(t, text, 0); got != "" {
			t.Errorf("%q: renewed", text)
		}
	}
}

func TestToken2AMalformedLeaseRefusesNoIdentity(t *testing.T) {
	tok := newTimed(t, first)
	claims := with(leasedClaims(), "leoflow_renew_until", "never")
	claims["leoflow_renew_seconds"] = []string{"x"}
	if id, err := tok.AuthenticateAgent(signed(t, claims)); err != nil || *id != agent {
		t.Errorf("identity %+v, error %v", id, err)
	}
}

func TestToken2NothingIsSignedOnAnUnverifiedText(t *testing.T) {
	tok := newTimed(t, first)
	good := signed(t, leasedClaims())
	parts := strings.Split(good, ".")
	other := agent
	other.TryNumber++
	for name, c := range map[string]struct {
		token string
		id    auth.AgentIdentity
	}{
		"another key":         {sign(t, jwt.SigningMethodHS256, second.Secret, kid(first.ID), leasedClaims()), agent},
		"no signature":        {parts[0] + "." + parts[1] + ".", agent},
		"alg none":            {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid(first.ID), leasedClaims()), agent},
		"an operator's":       {signed(t, with(leasedClaims(), "aud", "leoflow-operator")), agent},
		"over":                {signed(t, with(leasedClaims(), "exp", now.Add(-hour).Unix())), agent},
		"of another attempt":  {good, other},
		"its ceiling changed": {parts[0] + "." + strings.Split(signed(t, with(leasedClaims(), "leoflow_renew_until", now.Add(9*day).Unix())), ".")[1] + "." + parts[2], agent},
	} {
		renewed, err := tok.RenewAgent(c.token, c.id)
		checkRefused(t, name, c.token, renewed != "", err)
	}
}

func TestToken2TheLeaseIsRenewedAsItIs(t *testing.T) {
	tok := newTimed(t, first)
	claims := func(token string) (out map[string]any) {
		_, payload, _ := strings.Cut(token, ".")
		payload, _, _ = strings.Cut(payload, ".")
		if err := json.Unmarshal(decode(t, payload), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	token := tok.launched(t, brief)
	for after := 20 * hour; after < 6*day; after += 20 * hour {
		token = tok.renew(t, token, after)
		if got := claims(token); got["leoflow_renew_until"] != float64(now.Add(7*day).Unix()) || got["leoflow_renew_seconds"] != day.Seconds() {
			t.Fatalf("after %v the lease is %v", after, got)
		}
	}
}

func TestToken3ThePresentedTokenStaysGoodToItsEnd(t *testing.T) {
	tok := newTimed(t, first)
	token := tok.launched(t, brief)
	for after := time.Duration(0); after < day+auth.Leeway; after += 15 * time.Minute {
		tok.renew(t, token, after) // and is ignored
		if id, err := tok.AuthenticateAgent(token); err != nil || *id != agent {
			t.Fatalf("after %v: identity %+v, error %v", after, id, err)
		}
	}
	tok.at = now.Add(day + auth.Leeway)
	checkAgentRefused(t, "after its end", tok.Tokens, token)
}

func TestAuth9ARenewedTokenIsOfTheNewKey(t *testing.T) {
	old, both, replaced := newTimed(t, first), newTimed(t, second, first), newTimed(t, second)
	token := old.launched(t, brief)
	renewed := both.renew(t, token, 20*hour)
	replaced.at = now.Add(20 * hour)
	if id, err := replaced.AuthenticateAgent(renewed); err != nil || *id != agent {
		t.Errorf("the old key is gone: identity %+v, error %v", id, err)
	}
	checkAgentRefused(t, "the old key's", replaced.Tokens, token)
}

// BenchmarkHeartbeatToken is what a heartbeat pays for its token.
func BenchmarkHeartbeatToken(b *testing.B) {
	tok := newTimed(b, first)
	token := tok.launched(b, 0)
	b.Run("authenticate", func(b *testing.B) {
		for b.Loop() {
			if _, err := tok.AuthenticateAgent(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, after := range map[string]time.Duration{"renew, not due": hour, "renew, due": 20 * hour} {
		b.Run(name, func(b *testing.B) {
			tok.at = now.Add(after)
			for b.Loop() {
				if _, err := tok.RenewAgent(token, agent); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestAuth2AClockSetBackRefusesNothingThatWasGood sets the clock back under tokens that
// were made, or taken, before: they are not from the future for that. Others are.
func TestAuth2AClockSetBackRefusesNothingThatWasGood(t *testing.T) {
	tok := newTimed(t, first)
	ours := tok.launched(t, time.Hour)
	tok.at = now.Add(-2 * time.Hour)
	if _, err := tok.AuthenticateAgent(ours); err != nil {
		t.Errorf("the clock was set back: %v", err)
	}
	renewed := tok.renew(t, ours, 20*time.Hour)
	tok.at = now
	if _, err := tok.AuthenticateAgent(renewed); err != nil {
		t.Errorf("renewed, and then the clock was set back: %v", err)
	}
	other := newTimed(t, first)
	other.at = now.Add(-2 * time.Hour)
	if _, err := other.AuthenticateAgent(ours); !errors.Is(err, auth.ErrRefused) {
		t.Errorf("a token from the future: %v", err)
	}
}
