package auth

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
)

// maxKnown is how many agent tokens are remembered: those of more live attempts than a
// server has at a time, in about 60 MB.
const maxKnown = 1 << 17

// known remembers the tokens whose signature and claims were found good, by their
// digests. They are those of one set of keys, which never changes, so that nothing of a
// key that was removed is remembered (AUTH-9). What passes with time, passes for them as
// well: it is looked at each time.
type known struct {
	agents *lru.Cache[[sha256.Size]byte, knownAgent]
	times  *jwt.Validator
}

type knownAgent struct {
	id AgentIdentity
	// It is good from and until then, the leeway of clocks taken in; a zero from: always.
	from, until time.Time
	issued      *jwt.NumericDate
	terms       terms
}

func (t *Tokens) newKnown() *known {
	agents, err := lru.New[[sha256.Size]byte, knownAgent](maxKnown)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &known{agents, jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(t.now))}
}

// digestOf is what a token is remembered by. Most tokens fit into small, and are not copied
// to the heap.
func digestOf(token string) [sha256.Size]byte {
	var small [1024]byte
	return sha256.Sum256(append(small[:0], token...))
}

// recall is what is known of an agent token that was found good before, and still is.
func (t *Tokens) recall(digest [sha256.Size]byte) (knownAgent, bool) {
	seen, found := t.known.agents.Get(digest)
	if !found {
		return seen, false
	}
	now := t.now()
	return seen, now.Before(seen.until) && !now.Before(seen.from) && t.issued(seen.issued)
}

// remember keeps an agent token that was found good.
func (t *Tokens) remember(digest [sha256.Size]byte, token string, id AgentIdentity, claims *jwt.RegisteredClaims) knownAgent {
	seen := knownAgent{id: id, until: claims.ExpiresAt.Add(Leeway), issued: claims.IssuedAt, terms: termsOf(token)}
	if claims.NotBefore != nil {
		seen.from = claims.NotBefore.Add(-Leeway)
	}
	t.known.agents.Add(digest, seen)
	return seen
}

// timely reports whether a token that was good is so now.
func (t *Tokens) timely(claims *jwt.RegisteredClaims) error {
	if err := t.known.times.Validate(claims); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !t.issued(claims.IssuedAt) {
		return fmt.Errorf("%w: issued in the future", ErrRefused)
	}
	return nil
}
