package auth

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// What every token says about itself. A token names exactly one audience, so that
// one of a kind opens nothing of another kind (AUTH-7).
const (
	Issuer           = "leoflow"
	AgentAudience    = "leoflow-agent"
	OperatorAudience = "leoflow-operator"
)

// Leeway is how far two clocks may disagree about exp, nbf and iat (AUTH-2).
const Leeway = 30 * time.Second

// maxTokenBytes bounds the work done for an unauthenticated caller. Five
// identifiers of 250 characters, four bytes each, in base64 stay below it.
const maxTokenBytes = 16 * 1024

// Tokens mints and verifies tokens with a set of keys. It is safe for concurrent use.
type Tokens struct {
	keys   *Keys
	clock  func() time.Time
	latest atomic.Int64 // that the clock ever told, in Unix seconds
	known  *known
	times  *jwt.Validator
}

// NewTokens returns tokens signed with keys. now is the clock; nil: the system's.
func NewTokens(keys *Keys, now func() time.Time) *Tokens {
	if now == nil {
		now = time.Now
	}
	t := &Tokens{keys: keys, clock: now}
	t.known = newKnown(maxKnown)
	t.times = jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(t.now))
	return t
}

// now returns the time, and remembers the latest there was, by the second: what every call
// writes is in the cache of one processor at a time.
func (t *Tokens) now() time.Time {
	now := t.clock()
	for told := now.Unix(); ; {
		latest := t.latest.Load()
		if told <= latest || t.latest.CompareAndSwap(latest, told) {
			return now
		}
	}
}

// issued reports whether a token can have been made by now, in Unix seconds. A clock that is
// set back makes nothing from the future of what was good a moment ago: else every agent
// would be refused at once.
func (t *Tokens) issued(at int64) bool {
	return at <= t.latest.Load()+int64(Leeway/time.Second)
}

type agentClaims struct {
	jwt.RegisteredClaims
	TenantID  string `json:"tenant_id"`
	DagID     string `json:"dag_id"`
	RunID     string `json:"run_id"`
	TaskID    string `json:"task_id"`
	TryNumber int    `json:"try_number"`
}

type operatorClaims struct {
	jwt.RegisteredClaims
	TenantID string `json:"tenant_id"`
	Role     Role   `json:"role"`
}

// MintAgent returns a token for an attempt that ends after life and is never
// renewed, and when that is. It refuses an identity that it would not accept back
// (AUTH-3).
func (t *Tokens) MintAgent(id AgentIdentity, life time.Duration) (string, time.Time, error) {
	now := t.now()
	claims, err := claimsOf(id, now, now.Add(life))
	if err != nil {
		return "", time.Time{}, err
	}
	token, err := t.sign(claims)
	return token, claims.ExpiresAt.Time, err
}

// MintOperator returns a token for a person or an orchestrator.
func (t *Tokens) MintOperator(id OperatorIdentity, life time.Duration) (string, time.Time, error) {
	if err := id.complete(); err != nil {
		return "", time.Time{}, err
	}
	now := t.now()
	registered := registeredClaims(id.Subject, OperatorAudience, now, now.Add(life))
	token, err := t.sign(operatorClaims{RegisteredClaims: registered, TenantID: id.TenantID, Role: id.Role})
	return token, registered.ExpiresAt.Time, err
}

// AuthenticateAgent returns the identity in an agent token. Every failure matches
// [ErrRefused]; its text is for the log only (AUTH-2, AUTH-3, AUTH-4).
func (t *Tokens) AuthenticateAgent(token string) (*AgentIdentity, error) {
	b, err := t.AuthenticateAttempt(token)
	if err != nil {
		return nil, err
	}
	own := b.AgentIdentity // nobody else's to change
	return &own, nil
}

// AuthenticateAttempt is [Tokens.AuthenticateAgent], and returns all that is known of the token.
func (t *Tokens) AuthenticateAttempt(token string) (*Bearer, error) {
	digest := digestOf(token)
	if b := t.recall(digest); b != nil {
		return b, nil
	}
	return t.learn(digest, token)
}

// learn verifies an agent token, and remembers it.
func (t *Tokens) learn(digest digest, token string) (*Bearer, error) {
	var claims agentClaims
	if err := t.verify(token, AgentAudience, &claims, &claims.RegisteredClaims); err != nil {
		return nil, err
	}
	id := AgentIdentity{
		TaskInstanceID: claims.Subject,
		TenantID:       claims.TenantID, DagID: claims.DagID, RunID: claims.RunID, TaskID: claims.TaskID,
		TryNumber: claims.TryNumber,
	}
	if err := id.complete(); err != nil {
		return nil, err
	}
	return t.remember(digest, token, id, &claims.RegisteredClaims), nil
}

// AuthenticateOperator returns the identity in an operator token. Every failure
// matches [ErrRefused].
func (t *Tokens) AuthenticateOperator(token string) (*OperatorIdentity, error) {
	var claims operatorClaims
	if err := t.verify(token, OperatorAudience, &claims, &claims.RegisteredClaims); err != nil {
		return nil, err
	}
	id := OperatorIdentity{Subject: claims.Subject, TenantID: claims.TenantID, Role: claims.Role}
	if err := id.complete(); err != nil {
		return nil, err
	}
	return &id, nil
}

// claimsOf returns an attempt's claims, of an identity that would be accepted back.
func claimsOf(id AgentIdentity, now, expires time.Time) (agentClaims, error) {
	if err := id.complete(); err != nil {
		return agentClaims{}, err
	}
	return agentClaims{
		RegisteredClaims: registeredClaims(id.TaskInstanceID, AgentAudience, now, expires),
		TenantID:         id.TenantID, DagID: id.DagID, RunID: id.RunID, TaskID: id.TaskID,
		TryNumber: id.TryNumber,
	}, nil
}

func registeredClaims(subject, audience string, now, expires time.Time) jwt.RegisteredClaims {
	return jwt.RegisteredClaims{
		Issuer:    Issuer,
		Subject:   subject,
		Audience:  jwt.ClaimStrings{audience},
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(expires),
	}
}

func (t *Tokens) sign(claims jwt.Claims) (string, error) {
	key := t.keys.keys[0]
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	token.Header["kid"] = key.ID
	signed, err := token.SignedString(key.Secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	if len(signed) > maxTokenBytes {
		return "", fmt.Errorf("sign token: %w: %d bytes long", ErrRefused, len(signed))
	}
	return signed, nil
}

// verify parses token into claims, of which registered is the standard part.
func (t *Tokens) verify(token, audience string, claims jwt.Claims, registered *jwt.RegisteredClaims) error {
	if len(token) > maxTokenBytes {
		return fmt.Errorf("%w: %d bytes long", ErrRefused, len(token))
	}
	// Go's base64 skips line ends, even where it is strict.
	if strings.ContainsAny(token, "\r\n") {
		return fmt.Errorf("%w: it has a line end", ErrRefused)
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithIssuer(Issuer),
		jwt.WithAudience(audience),
		jwt.WithLeeway(Leeway),
		jwt.WithTimeFunc(t.now),
		jwt.WithStrictDecoding(),
	)
	if _, err := parser.ParseWithClaims(token, claims, t.keyFor); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := t.timely(registered); err != nil {
		return err
	}
	if len(registered.Audience) != 1 {
		return fmt.Errorf("%w: more than one audience", ErrRefused)
	}
	return nil
}

// keyFor chooses the key by `kid`; a token without one is tried against all keys.
func (t *Tokens) keyFor(token *jwt.Token) (any, error) {
	raw, named := token.Header["kid"]
	if !named {
		var set jwt.VerificationKeySet
		for _, k := range t.keys.keys {
			set.Keys = append(set.Keys, k.Secret)
		}
		return set, nil
	}
	for _, k := range t.keys.keys {
		if k.ID == raw {
			return k.Secret, nil
		}
	}
	return nil, errors.New("no key of that kid")
}

func (id AgentIdentity) complete() error {
	for _, claim := range []struct{ name, value string }{
		{"sub", id.TaskInstanceID},
		{"tenant_id", id.TenantID},
		{"dag_id", id.DagID},
		{"run_id", id.RunID},
		{"task_id", id.TaskID},
	} {
		// JSON would replace what is no text, and make two identities one.
		if claim.value == "" || !utf8.ValidString(claim.value) {
			return fmt.Errorf("%w: claim %s is missing or no text", ErrRefused, claim.name)
		}
	}
	if id.TryNumber < 1 {
		return fmt.Errorf("%w: claim try_number is under 1", ErrRefused)
	}
	return nil
}

func (id OperatorIdentity) complete() error {
	switch {
	case id.Subject == "" || !utf8.ValidString(id.Subject):
		return fmt.Errorf("%w: claim sub is missing or no text", ErrRefused)
	case id.TenantID == "" || !utf8.ValidString(id.TenantID):
		return fmt.Errorf("%w: claim tenant_id is missing or no text", ErrRefused)
	case roleRank[id.Role] == 0:
		return fmt.Errorf("%w: claim role is not one of viewer, operator, admin", ErrRefused)
	}
	return nil
}
