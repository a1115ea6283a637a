package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

var secretTests = []test{
	{"TestSecret2ExactlyAsStored", testSecretsAsStored},
	{"TestSecret3TenantScope", testTenantScope},
	{"TestSecret3DeclaredScope", testDeclaredScope},
	{"TestSecret3ScopesAreTwo", testScopes},
	{"TestSecret4OnlyWhileLive", testSecretsLive},
	{"TestSecret5EachDeliveryIsRecorded", testSecretsAudit},
}

// kinds are both kinds of secrets through the same functions.
func (b *bed) kinds() []secretKind {
	return []secretKind{
		{domain.AuditVariablesDelivered, b.putVariable, b.variables, b.deliverVariables},
		{domain.AuditConnectionsDelivered, b.putConnection, b.connections, b.deliverConnections},
	}
}

type secretKind struct {
	action  domain.AuditAction
	put     func(tenant, name, value string) error
	all     func(tenant string) (map[string]string, error)
	deliver func(id auth.AgentIdentity) (map[string]string, error)
}

func (b *bed) putVariable(tenant, name, value string) error {
	return b.PutVariable(as(tenant), theActor, name, value)
}

func (b *bed) putConnection(tenant, name, value string) error {
	return b.PutConnection(as(tenant), theActor, name, value)
}

func (b *bed) variables(tenant string) (map[string]string, error) {
	return b.SecretVariables(as(tenant), tenant)
}

func (b *bed) connections(tenant string) (map[string]string, error) {
	return b.SecretConnectionURIs(as(tenant), tenant)
}

func (b *bed) deliverVariables(id auth.AgentIdentity) (map[string]string, error) {
	return b.DeliverVariables(as(id.TenantID), id)
}

func (b *bed) deliverConnections(id auth.AgentIdentity) (map[string]string, error) {
	return b.DeliverConnectionURIs(as(id.TenantID), id)
}

// wantSecrets holds what call returned against want.
func wantSecrets(t *testing.T, got map[string]string, err error, want map[string]string) {
	t.Helper()
	wantNil(t, err)
	if got == nil {
		got = map[string]string{}
	}
	wantEqual(t, got, want)
}

func testSecretsAsStored(t *testing.T, b *bed) {
	for _, k := range b.kinds() {
		got, err := k.all(tenantA)
		wantSecrets(t, got, err, map[string]string{})
		want := map[string]string{"empty": "", "odd ä:+.": "\x00\n\xff ü", "long": strings.Repeat("v", 200_000)}
		for name, value := range want {
			wantNil(t, k.put(tenantA, name, "first"))
			wantNil(t, k.put(tenantA, name, value))
		}
		got, err = k.all(tenantA)
		wantSecrets(t, got, err, want)
	}
}

func testTenantScope(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for _, k := range b.kinds() {
		got, err := k.deliver(id)
		wantSecrets(t, got, err, map[string]string{})
		wantNil(t, k.put(tenantA, "declared", "1"))
		wantNil(t, k.put(tenantA, "other", "2"))
		got, err = k.deliver(id)
		wantSecrets(t, got, err, map[string]string{"declared": "1", "other": "2"})
	}
}

func testDeclaredScope(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	undeclared := domain.TaskKey{RunKey: theRun, TaskID: "second in the alphabet"}
	a, err := b.LaunchAttempt(as(tenantA), undeclared, domain.NewAttempt{Try: 1})
	wantNil(t, err)
	for _, k := range b.kinds() {
		wantNil(t, k.put(tenantA, "declared", "1"))
		wantNil(t, k.put(tenantA, "other", "2"))
	}
	wantNil(t, b.SetSecretScope(as(tenantA), theActor, secrets.ScopeDeclared))
	for _, k := range b.kinds() {
		got, err := k.deliver(id)
		wantSecrets(t, got, err, map[string]string{"declared": "1"})
		got, err = k.deliver(identity(a))
		wantSecrets(t, got, err, map[string]string{})
	}
	inB := b.launched(t, tenantB) // whose scope is its own
	wantNil(t, b.PutVariable(as(tenantB), theActor, "other", "of B"))
	got, err := b.DeliverVariables(as(tenantB), inB)
	wantSecrets(t, got, err, map[string]string{"other": "of B"})
	wantNil(t, b.SetSecretScope(as(tenantA), theActor, secrets.ScopeTenant))
	got, err = b.DeliverVariables(as(tenantA), identity(a))
	wantSecrets(t, got, err, map[string]string{"declared": "1", "other": "2"})
}

func testScopes(t *testing.T, b *bed) {
	is := func(tenant string, want secrets.Scope) {
		t.Helper()
		got, err := b.SecretScope(as(tenant))
		wantNil(t, err)
		wantEqual(t, got, want)
	}
	is(tenantA, secrets.ScopeTenant)
	wantError(t, b.SetSecretScope(as(tenantA), theActor, "odd"), domain.ErrPrecondition)
	if err := b.SetSecretScope(as(tenantA), "", secrets.ScopeDeclared); err == nil {
		t.Fatal("set by nobody")
	}
	is(tenantA, secrets.ScopeTenant)
	at := b.pass(time.Second)
	wantNil(t, b.SetSecretScope(as(tenantA), "ann", secrets.ScopeDeclared)) // of a new tenant
	is(tenantA, secrets.ScopeDeclared)
	is(tenantB, secrets.ScopeTenant)
	events := b.audit(t, tenantA)
	wantEqual(t, events, []domain.AuditEvent{
		{Seq: events[0].Seq, At: at, Action: domain.AuditSecretScopeSet, Actor: "ann", Names: []string{"declared"}},
	})
	wantNil(t, b.PutVariable(as(tenantA), theActor, "v", "1"))
	id := b.launched(t, tenantA)
	got, err := b.DeliverVariables(as(tenantA), id)
	wantSecrets(t, got, err, map[string]string{})
}

func testSecretsLive(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for _, k := range b.kinds() {
		wantNil(t, k.put(tenantA, "v", "1"))
		for _, wrong := range strangers(id) {
			_, err := k.deliver(wrong)
			wantError(t, err, domain.ErrUnknown)
		}
	}
	for try, end := range []struct {
		by   func()
		want error
	}{
		{func() { b.mustReport(t, id, domain.TaskStateSuccess, 0, "") }, domain.ErrFinished},
		{func() { b.mustSettle(t, id, domain.CauseLost) }, domain.ErrLost},
		{func() { b.mustCancel(t, id, begin) }, domain.ErrCancelled},
		{func() { b.launch(t, tenantA, 5, true) }, domain.ErrSuperseded},
	} {
		if try > 0 {
			id = b.launch(t, tenantA, try+1, true)
		}
		end.by()
		for _, k := range b.kinds() {
			got, err := k.deliver(id)
			wantError(t, err, end.want)
			if len(got) != 0 {
				t.Fatalf("delivered %v", got)
			}
		}
	}
	for _, event := range b.audit(t, tenantA) {
		if event.Actor == "" {
			t.Fatalf("recorded %+v", event)
		}
	}
}

func testSecretsAudit(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for _, k := range b.kinds() {
		wantNil(t, b.SetSecretScope(as(tenantA), theActor, secrets.ScopeDeclared))
		_, err := k.deliver(id)
		wantNil(t, err)
		wantNil(t, b.SetSecretScope(as(tenantA), theActor, secrets.ScopeTenant))
		wantNil(t, k.put(tenantA, "b", "secret"))
		wantNil(t, k.put(tenantA, "a", "secret"))
		at := b.pass(time.Second)
		_, err = k.deliver(id)
		wantNil(t, err)
		got := b.audit(t, tenantA)
		// Three writes lie between the deliveries.
		wantEqual(t, []domain.AuditEvent{got[0], got[4]}, []domain.AuditEvent{
			{Seq: got[0].Seq, At: at, Action: k.action, Attempt: id.Attempt(), Names: []string{"a", "b"}},
			{Seq: got[4].Seq, At: at.Add(-time.Second), Action: k.action, Attempt: id.Attempt(), Names: []string{}},
		})
	}
	if got := b.audit(t, tenantB); len(got) != 0 {
		t.Fatalf("of another tenant: %v", got)
	}
}
