package testbed

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

// mint makes a token of the attempt.
func (a *attempt) mint(defect conformancev1.TokenDefect) *conformancev1.MintTokenResponse {
	a.t.Helper()
	return must[*conformancev1.MintTokenResponse](a.t)(a.MintToken(a.bench.ctx, &conformancev1.MintTokenRequest{Attempt: a.ref, Defect: defect}))
}

// keyOf is the id of the key that a token says it is signed with.
func keyOf(t *testing.T, token string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(parsed.Header["kid"])
}

func TestAuth9ATokenOfAFormerKey(t *testing.T) {
	b := put(t, inProcess)
	a := b.attempt("r", running)
	former := a.mint(conformancev1.TokenDefect_TOKEN_DEFECT_FORMER_KEY).GetToken()
	now := a.mint(conformancev1.TokenDefect_TOKEN_DEFECT_UNSPECIFIED).GetToken()
	if keyOf(t, former) == keyOf(t, now) {
		t.Error("both are signed with one key")
	}
	for _, token := range []string{former, now} {
		if _, err := b.agents.Heartbeat(as(b.ctx, token), &agentv1.HeartbeatRequest{}); err != nil {
			t.Errorf("AUTH-9: %v", err)
		}
	}
}

// TestAKeyFileOfOneKeyGetsASecond, and the first goes on to sign.
func TestAKeyFileOfOneKeyGetsASecond(t *testing.T) {
	dir := t.TempDir()
	one, err := json.Marshal(keyFile{Keys: []signingKey{{ID: "old", Secret: make([]byte, 32)}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, server.KeyFile)
	if err := os.WriteFile(path, one, 0o600); err != nil {
		t.Fatal(err)
	}
	var before []signingKey
	for range 2 {
		keys, err := openKeys(dir)
		if err != nil || len(keys) != 2 || keys[0].ID != "old" {
			t.Fatalf("%v, %v", keys, err)
		}
		if before != nil && before[1].ID != keys[1].ID {
			t.Error("it gets another one each time")
		}
		before = keys
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openKeys(dir); err == nil {
		t.Error("what is no key file was taken")
	}
}

func TestToken2NearItsCeiling(t *testing.T) {
	b := put(t, inProcess)
	a := b.attempt("r", running)
	minted := a.mint(conformancev1.TokenDefect_TOKEN_DEFECT_NEAR_CEILING)
	got := must[*agentv1.HeartbeatResponse](t)(b.agents.Heartbeat(as(b.ctx, minted.GetToken()), &agentv1.HeartbeatRequest{}))
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(got.GetRenewedToken(), claims); err != nil {
		t.Fatalf("renewed as %v: %v", got, err)
	}
	end, err := claims.GetExpirationTime()
	if err != nil || !end.Equal(minted.GetCeiling().AsTime()) {
		t.Errorf("the renewed one ends at %v, the ceiling is %v: %v", end, minted.GetCeiling().AsTime(), err)
	}
	if left := time.Until(end.Time); left > 24*time.Hour {
		t.Errorf("it ends in %v, as a fresh one would", left)
	}
}
