package auth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// lease is what an attempt's token says about its own renewal. The terms travel in
// the token, under its signature, rather than being read from a store: nothing that
// happens to the store can lift a ceiling, a heartbeat costs no statement more, and
// a token of another issuer with the same key, which has no lease, is not renewed.
type lease struct {
	// Ceiling is when the last of the attempt's tokens ends, in seconds of the Unix
	// era; set at the launch.
	Ceiling int64 `json:"leoflow_renew_until"`
	// Seconds is the life of a fresh token, in seconds.
	Seconds int64 `json:"leoflow_renew_seconds"`
}

// attemptClaims are those of a token with a lease.
type attemptClaims struct {
	agentClaims
	lease
}

// MintAttempt returns the first token of an attempt that was launched at launched,
// and when it ends: [FreshLife] after that, whenever it is minted. It may be renewed
// up to the attempt's [Ceiling]. timeout is the execution time-out of the task; 0:
// none.
//
// It refuses an identity that it would not accept back (AUTH-3), and with
// domain.ErrPrecondition an attempt whose first token would have ended by now.
func (t *Tokens) MintAttempt(id AgentIdentity, launched time.Time, timeout time.Duration) (string, time.Time, error) {
	now, life := t.now(), FreshLife(timeout)
	expires := launched.Add(life).Truncate(time.Second) // as a token tells it
	if !expires.After(now) {
		return "", time.Time{}, fmt.Errorf("%w: launched at %v, the attempt is older than its token may be",
			domain.ErrPrecondition, launched.UTC())
	}
	return t.mintLeased(id, now, expires, lease{
		Ceiling: launched.Add(Ceiling(timeout)).Unix(),
		Seconds: int64(life / time.Second),
	})
}

// RenewAgent returns a token to use instead of token, which [Tokens.AuthenticateAgent]
// has accepted as id's in this very call; empty where none is due. One is due when
// less than half of the presented one's life is left, and it can last longer. The
// new token has the same identity, a life that starts now and is no longer than a
// fresh one's, and never passes the attempt's ceiling (TOKEN-2). The presented one
// stays good until its own end (TOKEN-3). An error matches [ErrRefused].
//
// Whether the attempt is live is for the caller to know (TOKEN-1).
func (t *Tokens) RenewAgent(token string, id AgentIdentity) (string, error) {
	now := t.now()
	terms, expires, due := termsOf(token, now)
	if !due {
		return "", nil
	}
	// The terms were read off a text that only the caller says is verified, to keep
	// the many calls without renewal cheap. Nothing is signed on that word.
	verified, err := t.AuthenticateAgent(token)
	if err != nil {
		return "", err
	}
	if *verified != id {
		return "", fmt.Errorf("%w: presented for another attempt than it names", ErrRefused)
	}
	renewed, _, err := t.mintLeased(id, now, expires, terms)
	return renewed, err
}

func (t *Tokens) mintLeased(id AgentIdentity, now, expires time.Time, terms lease) (string, time.Time, error) {
	claims, err := claimsOf(id, now, expires)
	if err != nil {
		return "", time.Time{}, err
	}
	token, err := t.sign(attemptClaims{claims, terms})
	return token, claims.ExpiresAt.Time, err
}

// termsOf reads a token's lease, unverified: until when a renewed one would last,
// and whether it is due. What has no lease, or none that makes sense, never is.
func termsOf(token string, now time.Time) (terms lease, expires time.Time, due bool) {
	// Ours are whole seconds; whoever writes them otherwise is another issuer.
	var claims struct {
		IssuedAt  int64 `json:"iat"`
		ExpiresAt int64 `json:"exp"`
		lease
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return lease{}, time.Time{}, false
	}
	terms = claims.lease
	if claims.IssuedAt < 1 || terms.Seconds < 1 || terms.Seconds > int64(math.MaxInt64/time.Second) {
		return lease{}, time.Time{}, false
	}
	from, until := time.Unix(claims.IssuedAt, 0), time.Unix(claims.ExpiresAt, 0)
	if until.Sub(now) >= until.Sub(from)/2 {
		return lease{}, time.Time{}, false
	}
	expires = now.Add(time.Duration(terms.Seconds) * time.Second)
	if ceiling := time.Unix(terms.Ceiling, 0); expires.After(ceiling) {
		expires = ceiling
	}
	// By whole seconds, as a token counts them: else the last one would be renewed for nothing.
	return terms, expires, expires.Unix() > claims.ExpiresAt
}
