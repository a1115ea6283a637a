package otherplane

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

const (
	issuer   = "https://other.example/issuer"
	audience = "agents of other.example"
)

// signed tokens are JSON Web Tokens under a key that is not shared.
type signed struct {
	clock  *clock
	method jwt.SigningMethod
	// keys by kid; the first of names signs new tokens. Without names there is one key,
	// "", and tokens have no kid.
	keys  map[string]crypto.Signer
	names []string
	// stray is no key of the plane, and others is an algorithm that its keys could be used
	// with and are not for; nil: there is none.
	stray  crypto.Signer
	others jwt.SigningMethod
}

// claims are what a token says. The try has no place for "none": it is left out.
type claims struct {
	jwt.RegisteredClaims
	Tenant string `json:"org,omitempty"`
	DAG    string `json:"flow,omitempty"`
	Run    string `json:"flow_run,omitempty"`
	Task   string `json:"step,omitempty"`
	Try    *int32 `json:"nth,omitempty"`
}

func newRSA(c *clock) (*signed, error) {
	s := &signed{clock: c, method: jwt.SigningMethodRS256, others: jwt.SigningMethodPS384, keys: map[string]crypto.Signer{}, names: []string{"k2", "k1"}}
	for _, name := range append([]string{"stray"}, s.names...) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		if name == "stray" {
			s.stray = key
		} else {
			s.keys[name] = key
		}
	}
	return s, nil
}

func newEd25519(c *clock) (*signed, error) {
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	_, stray, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &signed{clock: c, method: jwt.SigningMethodEdDSA, keys: map[string]crypto.Signer{"": own}, names: []string{""}, stray: stray}, nil
}

func claimsOf(g grant) *claims {
	return &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{"somebody", audience}, Subject: g.id.instance, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(g.issued), ExpiresAt: jwt.NewNumericDate(g.until),
		},
		Tenant: g.id.tenant, DAG: g.id.dag, Run: g.id.run, Task: g.id.task, Try: &g.id.try,
	}
}

func (s *signed) issue(g grant) (string, error) {
	return s.sign(s.method, s.names[0], s.keys[s.names[0]], claimsOf(g))
}

func (s *signed) sign(method jwt.SigningMethod, kid string, key any, c *claims) (string, error) {
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	return token.SignedString(key)
}

func (s *signed) verify(token string) (*grant, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, known := s.keys[kid]
		if !known {
			return nil, errBadToken
		}
		return key.Public(), nil
	}, jwt.WithValidMethods([]string{s.method.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(s.clock.now))
	if err != nil || c.Try == nil || c.IssuedAt == nil {
		return nil, errBadToken
	}
	id := identity{tenant: c.Tenant, dag: c.DAG, run: c.Run, task: c.Task, instance: c.Subject, try: *c.Try}
	return &grant{id: id, issued: c.IssuedAt.Time, until: c.ExpiresAt.Time}, nil
}

func (s *signed) spoil(g grant, defect conformancev1.TokenDefect) (string, error) {
	g, _ = incomplete(g, defect)
	c, now := claimsOf(g), s.clock.now()
	method, kid := s.method, s.names[0]
	key := any(s.keys[kid])
	switch defect {
	case conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED:
		c.IssuedAt, c.ExpiresAt = jwt.NewNumericDate(now.Add(-3*time.Hour)), jwt.NewNumericDate(now.Add(-time.Hour))
	case conformancev1.TokenDefect_TOKEN_DEFECT_NOT_YET_VALID:
		c.NotBefore, c.ExpiresAt = jwt.NewNumericDate(now.Add(time.Hour)), jwt.NewNumericDate(now.Add(2*time.Hour))
	case conformancev1.TokenDefect_TOKEN_DEFECT_NO_EXPIRY:
		c.ExpiresAt = nil
	case conformancev1.TokenDefect_TOKEN_DEFECT_WRONG_KEY:
		key = s.stray
	case conformancev1.TokenDefect_TOKEN_DEFECT_ALGORITHM_NONE:
		method, key = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ALGORITHM:
		if method = s.others; method == nil { // the public key taken for a shared one
			own, _ := s.keys[kid].Public().(ed25519.PublicKey)
			method, key = jwt.SigningMethodHS256, []byte(own)
		}
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ISSUER:
		c.Issuer = "https://stranger.example"
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_AUDIENCE:
		c.Audience = jwt.ClaimStrings{"somebody"}
	case conformancev1.TokenDefect_TOKEN_DEFECT_NO_TRY:
		c.Try = nil
	case conformancev1.TokenDefect_TOKEN_DEFECT_FORMER_KEY:
		if len(s.names) < 2 {
			return "", errNoDefect
		}
		kid = s.names[1]
		key = s.keys[kid]
	default:
		if _, ok := incomplete(g, defect); !ok {
			return "", errNoDefect
		}
	}
	return s.sign(method, kid, key, c)
}
