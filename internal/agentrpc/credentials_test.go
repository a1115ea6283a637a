package agentrpc

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/neochaotic/leoflow/internal/auth"
)

// minted makes tokens, good and bad, with a real key.
type minted struct {
	t      *testing.T
	key    []byte
	tokens *auth.Tokens
}

func newMinted(t *testing.T) *minted {
	t.Helper()
	key := make([]byte, auth.MinKeyBytes)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.NewKeys(auth.Key{ID: "k1", Secret: key})
	if err != nil {
		t.Fatal(err)
	}
	return &minted{t, key, auth.NewTokens(keys, nil)}
}

// claims are those of a good token, changed.
func claims(change jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": "leoflow", "aud": "leoflow-agent", "sub": "ti-1",
		"tenant_id": "acme", "dag_id": "dag", "run_id": "run", "task_id": "load", "try_number": 1,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (m *minted) sign(method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	m.t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		m.t.Fatal(err)
	}
	return token
}

func (m *minted) hs256(change jwt.MapClaims) string {
	m.t.Helper()
	return m.sign(jwt.SigningMethodHS256, m.key, claims(change))
}

// badTokens are the tokens that AUTH-2 and AUTH-3 name.
func (m *minted) badTokens() map[string]string {
	m.t.Helper()
	goodToken := m.hs256(nil)
	parts := strings.Split(goodToken, ".")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		m.t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&private.PublicKey)})
	operator, _, err := m.tokens.MintOperator(auth.OperatorIdentity{Subject: "ops", TenantID: "acme", Role: auth.RoleAdmin}, time.Hour)
	if err != nil {
		m.t.Fatal(err)
	}
	otherKid := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil))
	otherKid.Header["kid"] = "k2"
	strange, err := otherKid.SignedString(m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	out := map[string]string{
		"malformed":         "not.a.jwt",
		"one part":          "token",
		"bad signature":     parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"changed claims":    parts[0] + "." + strings.Split(m.hs256(jwt.MapClaims{"tenant_id": "other"}), ".")[1] + "." + parts[2],
		"no signature":      parts[0] + "." + parts[1] + ".",
		"alg none":          m.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil)),
		"HS512":             m.sign(jwt.SigningMethodHS512, m.key, claims(nil)),
		"HS384":             m.sign(jwt.SigningMethodHS384, m.key, claims(nil)),
		"RS256":             m.sign(jwt.SigningMethodRS256, private, claims(nil)),
		"RS256 confusion":   m.sign(jwt.SigningMethodHS256, public, claims(nil)),
		"another key":       m.sign(jwt.SigningMethodHS256, make([]byte, 32), claims(nil)),
		"another kid":       strange,
		"expired":           m.hs256(jwt.MapClaims{"exp": past}),
		"no exp":            m.hs256(jwt.MapClaims{"exp": nil}),
		"nbf in the future": m.hs256(jwt.MapClaims{"nbf": future}),
		"iat in the future": m.hs256(jwt.MapClaims{"iat": future}),
		"other issuer":      m.hs256(jwt.MapClaims{"iss": "someone"}),
		"no issuer":         m.hs256(jwt.MapClaims{"iss": nil}),
		"other audience":    m.hs256(jwt.MapClaims{"aud": "leoflow-operator"}),
		"no audience":       m.hs256(jwt.MapClaims{"aud": nil}),
		"two audiences":     m.hs256(jwt.MapClaims{"aud": []string{"leoflow-agent", "leoflow-operator"}}),
		"an operator token": operator,
		"try 0":             m.hs256(jwt.MapClaims{"try_number": 0}),
		"try -1":            m.hs256(jwt.MapClaims{"try_number": -1}),
		"try as text":       m.hs256(jwt.MapClaims{"try_number": "1"}),
	}
	for _, claim := range []string{"sub", "tenant_id", "dag_id", "run_id", "task_id", "try_number"} {
		out["no "+claim] = m.hs256(jwt.MapClaims{claim: nil})
	}
	for _, claim := range []string{"sub", "tenant_id", "dag_id", "run_id", "task_id"} {
		out["empty "+claim] = m.hs256(jwt.MapClaims{claim: ""})
	}
	return out
}

// badCredentials are the metadata of calls that no token admits; nil: no metadata.
func (m *minted) badCredentials() map[string]metadata.MD {
	m.t.Helper()
	bearer := "Bearer " + m.hs256(nil)
	out := map[string]metadata.MD{
		"no metadata":      nil,
		"no authorization": metadata.Pairs("x-other", bearer),
		"two values":       metadata.Pairs("authorization", bearer, "authorization", bearer),
		"other scheme":     metadata.Pairs("authorization", "Basic "+m.hs256(nil)),
		"no scheme":        metadata.Pairs("authorization", m.hs256(nil)),
		"empty token":      metadata.Pairs("authorization", "Bearer "),
		"empty":            metadata.Pairs("authorization", ""),
		"overlong":         metadata.Pairs("authorization", bearer+strings.Repeat("A", 100_000)),
	}
	for name, token := range m.badTokens() {
		out[name] = metadata.Pairs("authorization", "Bearer "+token)
	}
	return out
}

func TestAuth1To5EveryRPCAgainstEveryKindOfBadCredentials(t *testing.T) {
	m := newMinted(t)
	for kind, md := range m.badCredentials() {
		t.Run(kind, func(t *testing.T) {
			for _, rpc := range rpcs {
				r := equipped()
				r.guard.AuthenticateAgent = m.tokens.AuthenticateAgent
				ctx := t.Context()
				if md != nil {
					ctx = metadata.NewIncomingContext(ctx, md)
				}
				wantRefused(t, rpc, rpc.call(ctx, r.Server))
				if touched := r.touched(); len(touched) != 0 {
					t.Errorf("%s: touched %v", rpc.name, touched)
				}
			}
		})
	}
	// The very same claims, unspoilt, are let in: what is refused above is refused for its fault.
	r := equipped()
	r.guard.AuthenticateAgent = m.tokens.AuthenticateAgent
	for _, rpc := range rpcs {
		if err := rpc.call(bearing(t.Context(), m.hs256(nil)), r.Server); err != nil && rpc.name != "FetchXCom" {
			t.Errorf("%s with a good token: %v", rpc.name, err)
		}
	}
}

// wantRefused wants the one answer that tells nothing (AUTH-4).
func wantRefused(t *testing.T, rpc rpc, err error) {
	t.Helper()
	s := status.Convert(err)
	info := errorInfo(err)
	if s.Code() != codes.Unauthenticated || s.Message() != "unauthenticated" || len(s.Details()) != 1 ||
		info.GetReason() != "UNAUTHENTICATED" || len(info.GetMetadata()) != 0 {
		t.Errorf("%s: %v %q %v, want the one refusal", rpc.name, s.Code(), s.Message(), s.Details())
	}
}

func TestAuth1ARefusedStreamTakesNoMessage(t *testing.T) {
	r := equipped()
	stream := newStream(bearing(t.Context(), "bad"), line("stdout", 1, "x"))
	wantRefused(t, rpcNamed("StreamLogs"), r.StreamLogs(stream))
	if n := stream.taken.Load(); n != 0 {
		t.Errorf("took %d messages", n)
	}
	if touched := r.touched(); len(touched) != 0 {
		t.Errorf("touched %v", touched)
	}
}

func TestAuth4ANilIdentityWithoutAnErrorIsRefused(t *testing.T) {
	for _, rpc := range rpcs {
		r := equipped()
		r.guard.AuthenticateAgent = func(string) (*auth.AgentIdentity, error) { return nil, nil } // the case
		wantRefused(t, rpc, rpc.call(good(t), r.Server))
		if touched := r.touched(); len(touched) != 0 {
			t.Errorf("%s: touched %v", rpc.name, touched)
		}
	}
}

func TestAuth2TheReasonOfARefusalIsLoggedOnly(t *testing.T) {
	r := newRig()
	_ = rpcNamed("Register").call(bearing(t.Context(), "bad"), r.Server)
	failed := r.log.lines(t, "call failed")
	if len(failed) != 1 || !strings.Contains(failed[0]["cause"].(string), secret) {
		t.Errorf("logged %v", failed)
	}
}

func TestAuth6IdentityComesFromTheTokenAlone(t *testing.T) {
	r := equipped()
	md := metadata.Pairs("authorization", "Bearer good", "tenant_id", "other", "x-tenant", "other", "task_id", "other", "session_id", "ti-9")
	ctx := metadata.NewIncomingContext(context.Background(), md)
	for _, rpc := range rpcs {
		if err := rpc.call(ctx, r.Server); err != nil {
			t.Errorf("%s: %v", rpc.name, err)
		}
	}
	if got := r.last("TaskSpec"); got != testIdentity {
		t.Errorf("the store was asked for %v", got)
	}
	if got := r.last("SecretVariables"); got != "acme" {
		t.Errorf("the secrets were asked for tenant %v", got)
	}
}
