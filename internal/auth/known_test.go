package auth_test

import (
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
)

// TestAuth2ATokenThatIsRememberedEndsInTime presents one token again and again while the
// clock moves: what was found good once is refused from its end on.
func TestAuth2ATokenThatIsRememberedEndsInTime(t *testing.T) {
	at := now
	keys, err := auth.NewKeys(first)
	if err != nil {
		t.Fatal(err)
	}
	tok := auth.NewTokens(keys, func() time.Time { return at })
	token, ends, err := tok.MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		at   time.Time
		good bool
	}{
		{now, true},
		{now, true},
		{ends.Add(-time.Second), true},
		{ends.Add(auth.Leeway - time.Second), true},
		{ends.Add(auth.Leeway + time.Second), false},
		{ends.Add(time.Hour), false},
		{now, true}, // a clock that is set back makes it good again, as it does a token that is new to it
	} {
		at = tc.at
		id, err := tok.AuthenticateAgent(token)
		if (err == nil) != tc.good || err == nil && *id != agent {
			t.Errorf("%v after it was made: %v, %v", tc.at.Sub(now), id, err)
		}
	}
}

// TestAuth2ARememberedTokenIsNotGoodBeforeItsTime sets the clock back to before the time
// from which a token is good.
func TestAuth2ARememberedTokenIsNotGoodBeforeItsTime(t *testing.T) {
	c := newTimed(t, first)
	token := signed(t, with(agentClaims(), "nbf", now.Add(time.Minute).Unix()))
	for _, tc := range []struct {
		after time.Duration
		good  bool
	}{{0, false}, {time.Minute - auth.Leeway, true}, {time.Minute - auth.Leeway - time.Second, false}, {time.Minute, true}} {
		c.at = now.Add(tc.after)
		if _, err := c.AuthenticateAgent(token); (err == nil) != tc.good {
			t.Errorf("%v after it was made: %v, want it good: %v", tc.after, err, tc.good)
		}
	}
}

// TestAuth6ARememberedIdentityIsNobodysToChange alters what one call was given.
func TestAuth6ARememberedIdentityIsNobodysToChange(t *testing.T) {
	tok := tokens(t, first)
	token, _, err := tok.MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		id, err := tok.AuthenticateAgent(token)
		if err != nil || *id != agent {
			t.Fatalf("got %v, %v", id, err)
		}
		id.TenantID = "other"
	}
}

// TestAuth9ATokenIsNotRememberedPastItsKey has keys replaced while a token is known.
func TestAuth9ATokenIsNotRememberedPastItsKey(t *testing.T) {
	former := tokens(t, first)
	token, _, err := former.MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := former.AuthenticateAgent(token); err != nil {
			t.Fatal(err)
		}
	}
	checkAgentRefused(t, "a key that was removed", tokens(t, second), token)
}

func BenchmarkAuthenticateAgent(b *testing.B) {
	tok := tokens(b, first)
	token, _, err := tok.MintAgent(agent, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := tok.AuthenticateAgent(token); err != nil {
			b.Fatal(err)
		}
	}
}
