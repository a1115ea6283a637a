package auth

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestAuth2TokenThatIsTooLongIsNotMinted: it would be refused when it comes back, which
// shows only once the task was launched with it.
func TestAuth2TokenThatIsTooLongIsNotMinted(t *testing.T) {
	keys, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	tokens := NewTokens(keys, time.Now)
	long := strings.Repeat("x", maxTokenBytes)
	if token, _, err := tokens.MintOperator(OperatorIdentity{Subject: long, TenantID: "t", Role: RoleOperator}, time.Hour); token != "" || !errors.Is(err, ErrRefused) {
		t.Errorf("a token of %d bytes, %v", len(token), err)
	}
	if _, err := tokens.AuthenticateOperator(long + "x"); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
}
