package auth_test

import (
	"maps"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/neochaotic/leoflow/internal/auth"
)

func TestAuth7ATokenOfOneKindOpensNothingOfAnother(t *testing.T) {
	tok := tokens(t, first)
	agentToken, _, err := tok.MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	operatorToken, _, err := tok.MintOperator(operator, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	checkAgentRefused(t, "operator token", tok, operatorToken)
	checkOperatorRefused(t, "agent token", tok, agentToken)

	both := agentClaims()
	maps.Copy(both, operatorClaims())
	maps.Copy(both, jwt.MapClaims{"role": "admin"})
	for _, aud := range []any{
		[]string{"leoflow-agent", "leoflow-operator"}, []string{"leoflow-operator", "leoflow-agent"}, "", nil,
	} {
		token := signed(t, with(both, "aud", aud))
		checkAgentRefused(t, "a token of both kinds", tok, token)
		checkOperatorRefused(t, "a token of both kinds", tok, token)
	}
}

func TestOperatorTokenCarriesItsIdentity(t *testing.T) {
	tok := tokens(t, first)
	for _, role := range []auth.Role{auth.RoleViewer, auth.RoleOperator, auth.RoleAdmin} {
		want := auth.OperatorIdentity{Subject: "ann", TenantID: "acme", Role: role}
		token, expires, err := tok.MintOperator(want, time.Minute)
		if err != nil || !expires.Equal(now.Add(time.Minute)) {
			t.Fatalf("expires %v, error %v", expires, err)
		}
		if got, err := tok.AuthenticateOperator(token); err != nil || *got != want {
			t.Errorf("identity %+v, error %v; want %+v", got, err, want)
		}
	}
}

func TestAuth3IncompleteOperatorsAreRefused(t *testing.T) {
	tok := tokens(t, first)
	claims := operatorClaims()
	for _, name := range []string{"sub", "tenant_id", "role", "exp", "iss", "aud"} {
		checkOperatorRefused(t, name+" missing", tok, signed(t, without(claims, name)))
		checkOperatorRefused(t, name+" empty", tok, signed(t, with(claims, name, "")))
		checkOperatorRefused(t, name+" no text", tok, signed(t, with(claims, name, []int{1})))
	}
	for _, role := range []any{"root", "Admin", "admin ", 3, nil} {
		checkOperatorRefused(t, "role unknown", tok, signed(t, with(claims, "role", role)))
	}
	checkOperatorRefused(t, "expired", tok, signed(t, with(claims, "exp", now.Add(-auth.Leeway).Unix())))
	checkOperatorRefused(t, "wrong key", tok, sign(t, jwt.SigningMethodHS256, second.Secret, kid(first.ID), claims))
}

func TestRolesIncludeTheLowerOnes(t *testing.T) {
	order := []auth.Role{auth.RoleViewer, auth.RoleOperator, auth.RoleAdmin}
	for i, r := range order {
		for j, least := range order {
			if got := r.Includes(least); got != (i >= j) {
				t.Errorf("%s includes %s: %v", r, least, got)
			}
		}
		for _, unknown := range []auth.Role{"", "root", "Viewer"} {
			if r.Includes(unknown) || unknown.Includes(r) || unknown.Includes(unknown) {
				t.Errorf("the unknown role %q includes or is included", unknown)
			}
		}
	}
}
