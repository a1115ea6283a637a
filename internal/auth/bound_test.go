package auth

import (
	"fmt"
	"testing"
	"time"
)

// TestOfTooManyTokensTheOnesInUseAreRemembered has few remembered, of which some are
// presented again and again while others come and go.
func TestOfTooManyTokensTheOnesInUseAreRemembered(t *testing.T) {
	const most, inUse = 8, 3
	keys, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	tok := NewTokens(keys, nil)
	tok.known = newKnown(most)
	present := func(n int) *Bearer {
		t.Helper()
		id := AgentIdentity{TaskInstanceID: fmt.Sprint("ti-", n), TenantID: "t", DagID: "d", RunID: "r", TaskID: "k", TryNumber: 1}
		token, _, err := tok.MintAgent(id, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		b, err := tok.AuthenticateAttempt(token)
		if err != nil || b.AgentIdentity != id {
			t.Fatalf("the token of %v is %v: %v", id, b, err)
		}
		return b
	}
	tok.clock = func() time.Time { return time.Unix(1764374400, 0) } // tokens of one attempt are the same
	var known [inUse]*Bearer
	for n := range known {
		known[n] = present(n)
	}
	for n := inUse; n < 20*most; n++ {
		present(n)
		if len(tok.known.all) > most || len(tok.known.byDigest) != len(tok.known.all) {
			t.Fatalf("%d are remembered, %d by digest", len(tok.known.all), len(tok.known.byDigest))
		}
		for m, was := range known {
			if present(m) != was {
				t.Fatalf("after %d, number %d was forgotten", n, m)
			}
		}
	}
}
