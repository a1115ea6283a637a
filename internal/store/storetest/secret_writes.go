package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

var secretWriteTests = []test{
	{"TestSecretNamesInOrder", testSecretNames},
	{"TestDeleteSecret", testDeleteSecret},
	{"TestEachWriteOfASecretIsRecorded", testWritesRecorded},
	{"TestNoWriteOfASecretWithoutAnActor", testNoActor},
	{"TestAuditEventsInPages", testAuditPages},
	{"TestSecretsOfATenantFitOneReply", testQuota},
	{"TestSecretsCountNoLessThanTheyTake", testQuotaCounts},
}

// theActor writes secrets wherever it does not matter who does.
const theActor domain.Actor = "somebody"

// secretWriter is what differs between variables and connections for an operator.
type secretWriter struct {
	put        func(ctx context.Context, by domain.Actor, name, value string) error
	remove     func(ctx context.Context, by domain.Actor, name string) error
	names      func(ctx context.Context, after string, limit int) ([]domain.SecretName, error)
	values     func(ctx context.Context, tenant string) (map[string]string, error)
	written    domain.AuditAction
	wasDeleted domain.AuditAction
}

func (b *bed) writers() []secretWriter {
	return []secretWriter{
		{
			b.PutVariable, b.DeleteVariable, b.ListVariables, b.SecretVariables,
			domain.AuditVariablePut, domain.AuditVariableDeleted,
		},
		{
			b.PutConnection, b.DeleteConnection, b.ListConnections, b.SecretConnectionURIs,
			domain.AuditConnectionPut, domain.AuditConnectionDeleted,
		},
	}
}

// audit returns the events of a tenant, the newest first.
func (b *bed) audit(t *testing.T, tenant string) []domain.AuditEvent {
	t.Helper()
	events, err := b.ListAuditEvents(as(tenant), 0, 1000)
	wantNil(t, err)
	return events
}

func testSecretNames(t *testing.T, b *bed) {
	for _, w := range b.writers() {
		got, err := w.names(as(tenantA), "", 10)
		if err != nil || len(got) != 0 {
			t.Fatalf("%v, %v", got, err)
		}
		first := b.clock()
		for _, name := range []string{"ä", "b", "B", "a"} {
			wantNil(t, w.put(as(tenantA), theActor, name, "secret"))
		}
		wantNil(t, w.put(as(tenantB), theActor, "of another", "secret"))
		again := b.pass(time.Second)
		wantNil(t, w.put(as(tenantA), theActor, "b", "secret"))
		want := []domain.SecretName{{Name: "B", UpdatedAt: first}, {Name: "a", UpdatedAt: first}, {Name: "b", UpdatedAt: again}, {Name: "ä", UpdatedAt: first}}
		got, err = w.names(as(tenantA), "", 10)
		wantNil(t, err)
		wantEqual(t, got, want)
		got, err = w.names(as(tenantA), "", 2)
		wantNil(t, err)
		wantEqual(t, got, want[:2])
		// The name to go on after may be gone by now.
		wantNil(t, w.remove(as(tenantA), theActor, "a"))
		got, err = w.names(as(tenantA), "a", 2)
		wantNil(t, err)
		wantEqual(t, got, want[2:])
	}
}

func testDeleteSecret(t *testing.T, b *bed) {
	for _, w := range b.writers() {
		for _, tenant := range []string{tenantA, tenantB} {
			wantNil(t, w.put(as(tenant), theActor, "v", "of "+tenant))
			wantNil(t, w.put(as(tenant), theActor, "w", "of "+tenant))
		}
		wantError(t, w.remove(as(tenantA), theActor, "missing"), domain.ErrNotFound)
		wantNil(t, w.remove(as(tenantA), theActor, "v"))
		events := b.audit(t, tenantA)
		wantError(t, w.remove(as(tenantA), theActor, "v"), domain.ErrNotFound)
		wantEqual(t, b.audit(t, tenantA), events) // nothing was done
		got, err := w.values(as(tenantA), tenantA)
		wantSecrets(t, got, err, map[string]string{"w": "of " + tenantA})
		got, err = w.values(as(tenantB), tenantB)
		wantSecrets(t, got, err, map[string]string{"v": "of " + tenantB, "w": "of " + tenantB})
	}
}

func testWritesRecorded(t *testing.T, b *bed) {
	for _, w := range b.writers() {
		put := b.pass(time.Second)
		wantNil(t, w.put(as(tenantA), "ann", "name", "secret"))
		deleted := b.pass(time.Second)
		wantNil(t, w.remove(as(tenantA), "bob", "name"))
		got := b.audit(t, tenantA)[:2]
		wantEqual(t, got, []domain.AuditEvent{
			{Seq: got[0].Seq, At: deleted, Action: w.wasDeleted, Actor: "bob", Names: []string{"name"}},
			{Seq: got[1].Seq, At: put, Action: w.written, Actor: "ann", Names: []string{"name"}},
		})
	}
	if got := b.audit(t, tenantB); len(got) != 0 {
		t.Fatalf("of another tenant: %v", got)
	}
}

func testNoActor(t *testing.T, b *bed) {
	for _, w := range b.writers() {
		wantNil(t, w.put(as(tenantA), theActor, "v", "first"))
		if err := w.put(as(tenantA), "", "v", "second"); err == nil {
			t.Fatal("written")
		}
		if err := w.remove(as(tenantA), "", "v"); err == nil {
			t.Fatal("deleted")
		}
		got, err := w.values(as(tenantA), tenantA)
		wantSecrets(t, got, err, map[string]string{"v": "first"})
	}
}

func testAuditPages(t *testing.T, b *bed) {
	for i := range 7 {
		wantNil(t, b.PutVariable(as(tenantA), theActor, fmt.Sprint(i), "secret"))
		wantNil(t, b.PutVariable(as(tenantB), theActor, "of another", "secret"))
	}
	all := b.audit(t, tenantA)
	var paged []domain.AuditEvent
	for before := int64(0); ; {
		page, err := b.ListAuditEvents(as(tenantA), before, 3)
		wantNil(t, err)
		if len(page) == 0 {
			break
		}
		paged, before = append(paged, page...), page[len(page)-1].Seq
		wantNil(t, b.PutVariable(as(tenantA), theActor, "late", "secret"))
	}
	wantEqual(t, paged, all)
	if len(all) != 7 || all[0].Names[0] != "6" {
		t.Fatalf("events %+v", all)
	}
}
