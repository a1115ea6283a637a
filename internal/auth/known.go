package auth

import (
	"crypto/sha256"
	"fmt"

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
	id     AgentIdentity
	claims jwt.RegisteredClaims
}

func (t *Tokens) newKnown() *known {
	agents, err := lru.New[[sha256.Size]byte, knownAgent](maxKnown)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &known{agents, jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(t.now))}
}

// recall is the identity of an agent token that was found good before, and still is.
func (t *Tokens) recall(digest [sha256.Size]byte) (AgentIdentity, bool) {
	seen, found := t.known.agents.Get(digest)
	return seen.id, found && t.timely(&seen.claims) == nil
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
