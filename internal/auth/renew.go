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
	var terms terms
	if b := t.recall(digestOf(token)); b != nil {
		terms = b.terms
	} else {
		terms = termsOf(token)
	}
	expires, due := terms.due(now)
	if !due {
		return "", nil
	}
	// The terms may have been read off a text that only the caller says is verified, to keep
	// the many calls without renewal cheap. Nothing is signed on that word.
	verified, err := t.AuthenticateAgent(token)
	if err != nil {
		return "", err
	}
	if *verified != id {
		return "", fmt.Errorf("%w: presented for another attempt than it names", ErrRefused)
	}
	renewed, _, err := t.mintLeased(id, now, expires, terms.lease)
	return renewed, err
}

func (t *Tokens) mintLeased(id AgentIdentity, now, expires time.Time, of lease) (string, time.Time, error) {
	claims, err := claimsOf(id, now, expires)
	if err != nil {
		return "", time.Time{}, err
	}
	token, err := t.sign(attemptClaims{claims, of})
	return token, claims.ExpiresAt.Time, err
}

// terms are what a token says about its life and its renewal; the zero value, that there is none.
type terms struct {
	// Ours are whole seconds; whoever writes them otherwise is another issuer.
	IssuedAt  int64 `json:"iat"`
	ExpiresAt int64 `json:"exp"`
	lease
}

// termsOf reads a token's terms, unverified. What has no lease, or none that makes sense,
// has none.
func termsOf(token string) terms {
	var claims terms
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil || json.Unmarshal(text, &claims) != nil ||
		claims.IssuedAt < 1 || claims.Seconds < 1 || claims.Seconds > int64(math.MaxInt64/time.Second) {
		return terms{}
	}
	return claims
}

// undue is the time until which a token of these terms is not due: half of its life; without
// any it is long ago.
func (t terms) undue() time.Time {
	from, until := time.Unix(t.IssuedAt, 0), time.Unix(t.ExpiresAt, 0)
	return until.Add(-until.Sub(from) / 2)
}

// due reports whether a token of these terms is due for renewal, and until when the
// renewed one would last.
func (t terms) due(now time.Time) (expires time.Time, due bool) {
	if t.Seconds < 1 || !now.After(t.undue()) {
		return time.Time{}, false
	}
	expires = now.Add(time.Duration(t.Seconds) * time.Second)
	if ceiling := time.Unix(t.Ceiling, 0); expires.After(ceiling) {
		expires = ceiling
	}
	// By whole seconds, as a token counts them: else the last one would be renewed for nothing.
	return expires, expires.Unix() > t.ExpiresAt
}
