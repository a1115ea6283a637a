package auth_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/neochaotic/leoflow/internal/auth"
)

// FuzzAgentToken tries any text as a token, and any header and claims under a true
// signature. Whatever is accepted names a whole identity, and one that the same keys
// would sign again as it is (AUTH-2, AUTH-3), and is renewed within its lease alone (TOKEN-2).
func FuzzAgentToken(f *testing.F) {
	tok := tokens(f, first, second)
	claims, err := json.Marshal(agentClaims())
	if err != nil {
		f.Fatal(err)
	}
	operatorJSON, err := json.Marshal(operatorClaims())
	if err != nil {
		f.Fatal(err)
	}
	good := signed(f, agentClaims())
	for _, header := range []string{
		`{"alg":"HS256","typ":"JWT"}`, `{"alg":"HS256","kid":"first"}`, `{"alg":"HS256","kid":"second"}`,
		`{"alg":"none"}`, `{"alg":"HS512","kid":"first"}`, `{"alg":"RS256"}`, `{"kid":null}`, `{}`, ``, `[]`, `null`,
	} {
		f.Add(good, header, string(claims))
	}
	leased, err := json.Marshal(leasedClaims())
	if err != nil {
		f.Fatal(err)
	}
	for _, spoilt := range []string{
		string(leased), strings.Replace(string(leased), `"leoflow_renew_seconds":86400`, `"leoflow_renew_seconds":9e18`, 1),
		``, `null`, `{}`, `[]`, `{"try_number":1.5}`, `{"try_number":1e99}`, `{"exp":1e308}`, `{"exp":-1e308}`,
		`{"aud":["leoflow-agent","x"],"iss":"leoflow","exp":9e9}`, string(operatorJSON), string(claims[:len(claims)/2]),
		`{"iss":"leoflow","aud":"leoflow-agent","exp":9e9,"sub":"\ud800","tenant_id":"\u0000","dag_id":"<","run_id":"r","task_id":"t","try_number":1}`,
	} {
		f.Add(spoilt, `{"alg":"HS256","kid":"first"}`, spoilt)
	}
	for _, token := range []string{good[:20], good + ".", "..", "a.b.c", "Bearer " + good, good + "\n"} {
		f.Add(token, `{"alg":"HS256"}`, string(claims))
	}
	f.Fuzz(func(t *testing.T, token, header, claims string) {
		for _, token := range []string{token, sealed(encode(header), encode(claims)), sealed(header, claims)} {
			checkAccepted(t, tok, token)
			if id, err := tok.AuthenticateOperator(token); (id == nil) == (err == nil) {
				t.Fatalf("operator identity %+v with error %v", id, err)
			}
		}
	})
}

// checkAccepted wants of a token a refusal alone, or an identity that can be signed again.
func checkAccepted(t *testing.T, tok *auth.Tokens, token string) {
	t.Helper()
	id, err := tok.AuthenticateAgent(token)
	if err != nil {
		if id != nil || !errors.Is(err, auth.ErrRefused) {
			t.Fatalf("identity %+v with error %v", id, err)
		}
		return
	}
	for _, value := range []string{id.TaskInstanceID, id.TenantID, id.DagID, id.RunID, id.TaskID} {
		if value == "" {
			t.Fatalf("accepted the incomplete identity %+v", id)
		}
	}
	if id.TryNumber < 1 {
		t.Fatalf("accepted try %d", id.TryNumber)
	}
	checkRenewed(t, tok, token, *id)
	if len(token) > 2048 {
		return // escaped anew, it might grow over the limit
	}
	again, _, err := tok.MintAgent(*id, time.Hour)
	if err != nil {
		t.Fatalf("accepted %+v, which would not be signed: %v", id, err)
	}
	if back, err := tok.AuthenticateAgent(again); err != nil || *back != *id {
		t.Fatalf("%+v came back as %+v, %v", id, back, err)
	}
}

// checkRenewed wants nothing, or a token of the same identity within its ceiling.
func checkRenewed(t *testing.T, tok *auth.Tokens, token string, id auth.AgentIdentity) {
	t.Helper()
	renewed, err := tok.RenewAgent(token, id)
	if err != nil || renewed == "" {
		if renewed != "" || err != nil && !errors.Is(err, auth.ErrRefused) {
			t.Fatalf("renewed as %q with error %v", renewed, err)
		}
		return
	}
	if got, err := tok.AuthenticateAgent(renewed); err != nil || *got != id {
		t.Fatalf("%+v was renewed as %+v, %v", id, got, err)
	}
	var lease struct {
		Until jwt.NumericDate `json:"leoflow_renew_until"`
	}
	if err := json.Unmarshal(decode(t, strings.Split(renewed, ".")[1]), &lease); err != nil {
		t.Fatal(err)
	}
	if _, until := span(t, renewed); until.After(lease.Until.Time) {
		t.Fatalf("renewed until %v, past the ceiling %v", until, lease.Until)
	}
}
