package auth_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/neochaotic/leoflow/internal/auth"
)

var (
	now    = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	first  = auth.Key{ID: "first", Secret: []byte(strings.Repeat("1", 32))}
	second = auth.Key{ID: "second", Secret: []byte(strings.Repeat("2", 64))}

	agent = auth.AgentIdentity{
		TaskInstanceID: "ti-1", TenantID: "acme", DagID: "etl.daily", RunID: "manual__2026-11-24T10:00:00+00:00",
		TaskID: "extract", TryNumber: 2,
	}
	operator = auth.OperatorIdentity{Subject: "ann", TenantID: "acme", Role: auth.RoleOperator}
)

func clock() time.Time { return now }

func tokens(t testing.TB, keys ...auth.Key) *auth.Tokens {
	t.Helper()
	set, err := auth.NewKeys(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewTokens(set, clock)
}

// agentClaims are those of a good token, by hand from the protocol.
func agentClaims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "leoflow", "aud": "leoflow-agent", "sub": "ti-1",
		"tenant_id": "acme", "dag_id": "etl.daily", "run_id": "manual__2026-11-24T10:00:00+00:00", "task_id": "extract",
		"try_number": 2, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

func operatorClaims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "leoflow", "aud": "leoflow-operator", "sub": "ann",
		"tenant_id": "acme", "role": "operator", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

func with(claims jwt.MapClaims, name string, value any) jwt.MapClaims {
	out := maps.Clone(claims)
	out[name] = value
	return out
}

func without(claims jwt.MapClaims, name string) jwt.MapClaims {
	out := maps.Clone(claims)
	delete(out, name)
	return out
}

// sign makes a token of our own, with any method and any header.
func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func kid(id any) map[string]any { return map[string]any{"kid": id} }

// signed is a token that only its claims can spoil.
func signed(t testing.TB, claims jwt.Claims) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, first.Secret, kid(first.ID), claims)
}

// checkRefused wants a refusal that keeps to itself what was wrong with which token.
func checkRefused(t *testing.T, what, token string, identity bool, err error) {
	t.Helper()
	if err == nil || identity || !errors.Is(err, auth.ErrRefused) {
		t.Errorf("%s: identity %v, error %v; want a refusal alone", what, identity, err)
		return
	}
	for _, part := range strings.Split(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("%s: the error quotes the token: %.200v", what, err)
		}
	}
}

func checkAgentRefused(t *testing.T, what string, tokens *auth.Tokens, token string) {
	t.Helper()
	id, err := tokens.AuthenticateAgent(token)
	checkRefused(t, what, token, id != nil, err)
}

func checkOperatorRefused(t *testing.T, what string, tokens *auth.Tokens, token string) {
	t.Helper()
	id, err := tokens.AuthenticateOperator(token)
	checkRefused(t, what, token, id != nil, err)
}

func TestAuth6AgentTokenCarriesItsIdentity(t *testing.T) {
	tok := tokens(t, first)
	token, expires, err := tok.MintAgent(agent, time.Hour)
	if err != nil || !expires.Equal(now.Add(time.Hour)) {
		t.Fatalf("expires %v, error %v", expires, err)
	}
	id, err := tok.AuthenticateAgent(token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(agent, *id); diff != "" {
		t.Errorf("identity (-minted +read):\n%s", diff)
	}
	if got := auth.IdentityOf(id.Attempt()); got != agent {
		t.Errorf("the identity came back from its attempt as %+v", got)
	}
}

func TestAuth2AgentTokenIsAsTheProtocolSays(t *testing.T) {
	token, _, err := tokens(t, first).MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	var header, claims map[string]any
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]any{"alg": "HS256", "typ": "JWT", "kid": "first"}, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	want := map[string]any{
		"iss": "leoflow", "aud": []any{"leoflow-agent"}, "sub": "ti-1",
		"tenant_id": "acme", "dag_id": "etl.daily", "run_id": "manual__2026-11-24T10:00:00+00:00", "task_id": "extract",
		"try_number": 2.0, "iat": float64(now.Unix()), "exp": float64(now.Add(time.Hour).Unix()),
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestAuth2GoodTokensOfOthersAreAccepted(t *testing.T) {
	tok := tokens(t, first, second)
	for what, token := range map[string]string{
		"plain":             signed(t, agentClaims()),
		"no kid":            sign(t, jwt.SigningMethodHS256, first.Secret, nil, agentClaims()),
		"audience in list":  signed(t, with(agentClaims(), "aud", []string{"leoflow-agent"})),
		"without iat":       signed(t, without(agentClaims(), "iat")),
		"more claims":       signed(t, with(agentClaims(), "more", "green")),
		"greatest try":      signed(t, with(agentClaims(), "try_number", 1<<31-1)),
		"nbf past":          signed(t, with(agentClaims(), "nbf", now.Unix())),
		"nbf within leeway": signed(t, with(agentClaims(), "nbf", now.Add(auth.Leeway).Unix())),
		"iat within leeway": signed(t, with(agentClaims(), "iat", now.Add(auth.Leeway).Unix())),
		"exp within leeway": signed(t, with(agentClaims(), "exp", now.Add(-auth.Leeway+time.Second).Unix())),
	} {
		if _, err := tok.AuthenticateAgent(token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAuth2LeewayIsAtMostThirtySeconds(t *testing.T) {
	if auth.Leeway > 30*time.Second {
		t.Errorf("leeway is %v", auth.Leeway)
	}
}

func TestAuth2BadSignaturesAreRefused(t *testing.T) {
	tok := tokens(t, first, second)
	keys := newKeyPairs(t)
	claims := agentClaims()
	good := signed(t, claims)
	parts := strings.Split(good, ".")
	none := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid(first.ID), claims)
	for what, token := range map[string]string{
		"alg none":                     none,
		"alg none, without kid":        sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims),
		"alg none, signed":             none + parts[2],
		"alg NONE":                     encode(`{"alg":"NONE","typ":"JWT"}`) + "." + parts[1] + ".",
		"alg of no such name":          encode(`{"alg":"HS257"}`) + "." + parts[1] + "." + parts[2],
		"alg no text":                  encode(`{"alg":256}`) + "." + parts[1] + "." + parts[2],
		"no alg":                       encode(`{"kid":"first"}`) + "." + parts[1] + "." + parts[2],
		"HS384 with the key":           sign(t, jwt.SigningMethodHS384, first.Secret, kid(first.ID), claims),
		"HS512 with the key":           sign(t, jwt.SigningMethodHS512, first.Secret, kid(first.ID), claims),
		"RS256":                        sign(t, jwt.SigningMethodRS256, keys.rsa, kid(first.ID), claims),
		"PS256":                        sign(t, jwt.SigningMethodPS256, keys.rsa, kid(first.ID), claims),
		"ES256":                        sign(t, jwt.SigningMethodES256, keys.ecdsa, kid(first.ID), claims),
		"EdDSA":                        sign(t, jwt.SigningMethodEdDSA, crypto.Signer(keys.ed25519), kid(first.ID), claims),
		"HS256 with a public key":      sign(t, jwt.SigningMethodHS256, keys.publicPEM, kid(first.ID), claims),
		"HS256 with no key":            sign(t, jwt.SigningMethodHS256, []byte{}, kid(first.ID), claims),
		"wrong key":                    sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), kid(first.ID), claims),
		"wrong key, without kid":       sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil, claims),
		"a key of one bit less":        sign(t, jwt.SigningMethodHS256, first.Secret[:31], kid(first.ID), claims),
		"kid of another key":           sign(t, jwt.SigningMethodHS256, first.Secret, kid(second.ID), claims),
		"kid unknown":                  sign(t, jwt.SigningMethodHS256, first.Secret, kid("third"), claims),
		"kid empty":                    sign(t, jwt.SigningMethodHS256, first.Secret, kid(""), claims),
		"kid null":                     sign(t, jwt.SigningMethodHS256, first.Secret, kid(nil), claims),
		"kid a number":                 sign(t, jwt.SigningMethodHS256, first.Secret, kid(1), claims),
		"kid a list":                   sign(t, jwt.SigningMethodHS256, first.Secret, kid([]string{"first"}), claims),
		"kid a path":                   sign(t, jwt.SigningMethodHS256, first.Secret, kid("../first"), claims),
		"signature gone":               parts[0] + "." + parts[1] + ".",
		"signature cut":                good[:len(good)-1],
		"signature of another":         parts[0] + "." + parts[1] + "." + strings.Split(signed(t, with(claims, "sub", "ti-2")), ".")[2],
		"claims of another":            parts[0] + "." + strings.Split(signed(t, with(claims, "sub", "ti-2")), ".")[1] + "." + parts[2],
		"signature spelled otherwise":  respelled(t, good),
		"signature with a line end":    good[:len(good)-4] + "\n" + good[len(good)-4:],
		"a line end behind":            good + "\r\n",
		"a space before":               " " + good,
		"with its scheme":              "Bearer " + good,
		"padding":                      good + "=",
		"a fourth part":                good + "." + parts[2],
		"a fifth part":                 good + ".." + parts[2],
		"two parts":                    parts[0] + "." + parts[1],
		"one part":                     parts[0],
		"standard base64":              parts[0] + "." + parts[1] + ".+/" + parts[2][2:],
		"claims no JSON":               sealed(parts[0], encode("sub=ti-1")),
		"claims no object":             sealed(parts[0], encode(`["ti-1"]`)),
		"claims null":                  sealed(parts[0], encode(`null`)),
		"claims twice":                 sealed(parts[0], encode(`{"a":1}{"b":2}`)),
		"claims deep":                  sealed(parts[0], encode(strings.Repeat("[", 4000))),
		"header no JSON":               sealed(encode("alg"), parts[1]),
		"header empty":                 sealed("", parts[1]),
		"empty":                        "",
		"a dot":                        ".",
		"two dots":                     "..",
		"garbage":                      "\x00\xff garbage",
		"garbage in three":             "a.b.c",
		"huge":                         strings.Repeat("x", 1<<20),
		"huge in three":                strings.Repeat("a", 1<<20) + "." + strings.Repeat("b", 1<<20) + "." + strings.Repeat("c", 1<<20),
		"huge and well signed":         signed(t, with(claims, "padding", strings.Repeat("p", 16<<10))),
		"many dots":                    strings.Repeat(".", 16<<10),
		"a token in a token":           signed(t, with(claims, "sub", nil)) + good,
		"a key of the operator's kind": sign(t, jwt.SigningMethodHS256, []byte(first.ID), kid(first.ID), claims),
	} {
		checkAgentRefused(t, what, tok, token)
	}
}

func TestAuth2BadClaimsAreRefused(t *testing.T) {
	tok := tokens(t, first)
	claims := agentClaims()
	for what, c := range map[string]jwt.MapClaims{
		"exp missing":           without(claims, "exp"),
		"exp null":              with(claims, "exp", nil),
		"exp a text":            with(claims, "exp", "tomorrow"),
		"exp true":              with(claims, "exp", true),
		"exp 0":                 with(claims, "exp", 0),
		"exp negative":          with(claims, "exp", -1),
		"exp now less leeway":   with(claims, "exp", now.Add(-auth.Leeway).Unix()),
		"exp long past":         with(claims, "exp", now.Add(-time.Hour).Unix()),
		"nbf beyond leeway":     with(claims, "nbf", now.Add(auth.Leeway+time.Second).Unix()),
		"nbf a text":            with(claims, "nbf", "soon"),
		"iat beyond leeway":     with(claims, "iat", now.Add(auth.Leeway+time.Second).Unix()),
		"iat a text":            with(claims, "iat", "now"),
		"iss missing":           without(claims, "iss"),
		"iss empty":             with(claims, "iss", ""),
		"iss another":           with(claims, "iss", "airflow"),
		"iss in capitals":       with(claims, "iss", "Leoflow"),
		"iss a list":            with(claims, "iss", []string{"leoflow"}),
		"aud missing":           without(claims, "aud"),
		"aud empty":             with(claims, "aud", ""),
		"aud no entry":          with(claims, "aud", []string{}),
		"aud null":              with(claims, "aud", nil),
		"aud another":           with(claims, "aud", "leoflow"),
		"aud longer":            with(claims, "aud", "leoflow-agents"),
		"aud a number":          with(claims, "aud", 1),
		"aud two":               with(claims, "aud", []string{"leoflow-agent", "leoflow-operator"}),
		"aud the same twice":    with(claims, "aud", []string{"leoflow-agent", "leoflow-agent"}),
		"aud with an empty one": with(claims, "aud", []string{"leoflow-agent", ""}),
	} {
		checkAgentRefused(t, what, tok, signed(t, c))
	}
}

func TestAuth3IncompleteIdentitiesAreRefused(t *testing.T) {
	tok := tokens(t, first)
	claims := agentClaims()
	for _, name := range []string{"sub", "tenant_id", "dag_id", "run_id", "task_id"} {
		checkAgentRefused(t, name+" missing", tok, signed(t, without(claims, name)))
		for _, value := range []any{"", nil, 7, true, []string{"x"}, map[string]any{}} {
			checkAgentRefused(t, name+" wrong", tok, signed(t, with(claims, name, value)))
		}
	}
	checkAgentRefused(t, "try_number missing", tok, signed(t, without(claims, "try_number")))
	for _, value := range []any{
		0, -1, -1 << 31, 1.5, json.RawMessage("1e30"), json.RawMessage("9223372036854775808"),
		json.RawMessage("-9223372036854775809"), "2", "", nil, true,
		[]int{2},
	} {
		checkAgentRefused(t, "try_number wrong", tok, signed(t, with(claims, "try_number", value)))
	}
	checkAgentRefused(t, "nothing but times", tok, signed(t, jwt.MapClaims{
		"iss": "leoflow", "aud": "leoflow-agent", "exp": now.Add(time.Hour).Unix(),
	}))
}

func TestAuth9KeysRotate(t *testing.T) {
	old, both, replaced := tokens(t, first), tokens(t, second, first), tokens(t, second)
	before, _, err := old.MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := both.MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{"old key": before, "new key": after} {
		if _, err := both.AuthenticateAgent(token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	unnamed := sign(t, jwt.SigningMethodHS256, first.Secret, nil, agentClaims())
	if _, err := both.AuthenticateAgent(unnamed); err != nil {
		t.Errorf("a token without kid of the old key: %v", err)
	}
	if _, err := replaced.AuthenticateAgent(after); err != nil {
		t.Errorf("the new key alone: %v", err)
	}
	checkAgentRefused(t, "a key taken out of use", replaced, before)
	checkAgentRefused(t, "a key taken out of use, without kid", replaced, unnamed)
	checkAgentRefused(t, "a key not yet in use", old, after)
}

func TestTokensAreSafeForConcurrentUse(t *testing.T) {
	set, err := auth.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	tok := auth.NewTokens(set, nil)
	var group sync.WaitGroup
	for try := range 16 {
		group.Go(func() {
			id := agent
			id.TryNumber = try + 1
			token, _, err := tok.MintAgent(id, time.Hour)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := tok.AuthenticateAgent(token); err != nil || *got != id {
				t.Errorf("identity %+v, error %v", got, err)
			}
		})
	}
	group.Wait()
}
