package auth

import (
	"crypto/sha256"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxKnown is how many agent tokens are remembered: those of more live attempts than a
// server has at a time, in about 50 MB.
const maxKnown = 1 << 17

// Bearer is an agent token that was found good. All calls that present the token share it:
// it is read only, but for Note.
type Bearer struct {
	AgentIdentity
	// Undue is the time before which no renewal of the token is due: who asks
	// [Tokens.RenewAgent] before then gets none.
	Undue time.Time
	// Note is for who wants to find something of his again whenever the token is presented.
	Note atomic.Value

	terms  terms
	digest digest
	// It is good from and until then, the leeway of clocks taken in, and was issued then, in
	// Unix seconds, which is what tokens count in.
	from, until, issued int64
	recalled            atomic.Bool // since known last looked whom to forget
}

// digest is what a token is remembered by.
type digest [sha256.Size]byte

// digestOf digests a token. Most tokens fit into small, and are not copied to the heap.
func digestOf(token string) digest {
	var small [1024]byte
	return sha256.Sum256(append(small[:0], token...))
}

// known remembers the tokens whose signature and claims were found good. They are those of
// one set of keys, which never changes, so that nothing of a key that was removed is
// remembered (AUTH-9). What passes with time, passes for them as well: it is looked at each
// time.
//
// It is read by every call and changes when an attempt is new, so it is no list that each
// reading puts into another order: of so many that there are too many, one makes room that
// was not recalled since its turn to do so came last.
type known struct {
	most int

	mu       sync.RWMutex
	byDigest map[digest]*Bearer
	all      []*Bearer
	hand     int // whose turn it is
}

func newKnown(most int) *known { return &known{most: most, byDigest: map[digest]*Bearer{}} }

func (k *known) get(of digest) *Bearer {
	k.mu.RLock()
	b := k.byDigest[of]
	k.mu.RUnlock()
	if b != nil && !b.recalled.Load() { // what is written is in nobody else's cache any more
		b.recalled.Store(true)
	}
	return b
}

// add returns the token as it is remembered from now on: another call may have been first.
func (k *known) add(b *Bearer) *Bearer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if first := k.byDigest[b.digest]; first != nil {
		return first
	}
	if len(k.all) < k.most {
		k.all = append(k.all, b)
	} else {
		for k.all[k.hand].recalled.Swap(false) {
			k.hand = (k.hand + 1) % k.most
		}
		delete(k.byDigest, k.all[k.hand].digest)
		k.all[k.hand] = b
		k.hand = (k.hand + 1) % k.most
	}
	k.byDigest[b.digest] = b
	return b
}

// recall is what is known of an agent token that was found good before, and still is; nil: nothing.
func (t *Tokens) recall(of digest) *Bearer {
	b := t.known.get(of)
	if b == nil {
		return nil
	}
	if now := t.now().Unix(); now >= b.until || now < b.from || !t.issued(b.issued) {
		return nil
	}
	return b
}

// remember keeps an agent token that was found good.
func (t *Tokens) remember(of digest, token string, id AgentIdentity, claims *jwt.RegisteredClaims) *Bearer {
	terms := termsOf(token)
	b := &Bearer{
		AgentIdentity: id, Undue: terms.undue(), terms: terms,
		digest: of, until: claims.ExpiresAt.Add(Leeway).Unix(), from: math.MinInt64, issued: math.MinInt64,
	}
	if claims.NotBefore != nil {
		b.from = claims.NotBefore.Add(-Leeway).Unix()
	}
	if claims.IssuedAt != nil {
		b.issued = claims.IssuedAt.Unix()
	}
	return t.known.add(b)
}

// timely reports whether a token that was good is so now.
func (t *Tokens) timely(claims *jwt.RegisteredClaims) error {
	if err := t.times.Validate(claims); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if claims.IssuedAt != nil && !t.issued(claims.IssuedAt.Unix()) {
		return fmt.Errorf("%w: issued in the future", ErrRefused)
	}
	return nil
}
