package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
)

func TestAuth3MintRefusesWhatItWouldNotAccept(t *testing.T) {
	tok := tokens(t, first)
	for what, spoil := range map[string]func(*auth.AgentIdentity){
		"no task instance": func(id *auth.AgentIdentity) { id.TaskInstanceID = "" },
		"no tenant":        func(id *auth.AgentIdentity) { id.TenantID = "" },
		"no DAG":           func(id *auth.AgentIdentity) { id.DagID = "" },
		"no run":           func(id *auth.AgentIdentity) { id.RunID = "" },
		"no task":          func(id *auth.AgentIdentity) { id.TaskID = "" },
		"no try":           func(id *auth.AgentIdentity) { id.TryNumber = 0 },
		"a negative try":   func(id *auth.AgentIdentity) { id.TryNumber = -1 },
		"no text":          func(id *auth.AgentIdentity) { id.TaskID = "a\xff" },
		"too long":         func(id *auth.AgentIdentity) { id.RunID = strings.Repeat("r", 16<<10) },
	} {
		id := agent
		spoil(&id)
		if token, _, err := tok.MintAgent(id, time.Hour); !errors.Is(err, auth.ErrRefused) || token != "" {
			t.Errorf("%s: token %q, error %v", what, token, err)
		}
	}
	for what, id := range map[string]auth.OperatorIdentity{
		"no subject":         {TenantID: "acme", Role: auth.RoleAdmin},
		"no tenant":          {Subject: "ann", Role: auth.RoleAdmin},
		"no role":            {Subject: "ann", TenantID: "acme"},
		"unknown role":       {Subject: "ann", TenantID: "acme", Role: "root"},
		"a subject no text":  {Subject: "\xff", TenantID: "acme", Role: auth.RoleAdmin},
		"a tenant no text":   {Subject: "ann", TenantID: "\xff", Role: auth.RoleAdmin},
		"a subject too long": {Subject: strings.Repeat("s", 16<<10), TenantID: "acme", Role: auth.RoleAdmin},
	} {
		if token, _, err := tok.MintOperator(id, time.Hour); !errors.Is(err, auth.ErrRefused) || token != "" {
			t.Errorf("%s: token %q, error %v", what, token, err)
		}
	}
}

func TestAuth3TheLongestIdentityIsAccepted(t *testing.T) {
	tok := tokens(t, first)
	for _, character := range []string{"a", "é", "\U0001F600", "<", "\u2028", `"`} {
		long := strings.Repeat(character, 250)
		want := auth.AgentIdentity{TaskInstanceID: long, TenantID: long, DagID: long, RunID: long, TaskID: long, TryNumber: 1<<31 - 1}
		token, _, err := tok.MintAgent(want, time.Hour)
		if err != nil {
			t.Errorf("%q: %v", character, err)
			continue
		}
		if got, err := tok.AuthenticateAgent(token); err != nil || *got != want {
			t.Errorf("%q: %v", character, err)
		}
	}
}
