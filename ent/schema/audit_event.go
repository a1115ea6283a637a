package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// AuditEvent says which secrets were delivered to whom: names, never values (SECRET-5).
type AuditEvent struct{ ent.Schema }

// Annotations name the table.
func (AuditEvent) Annotations() []schema.Annotation { return table("audit_events") }

// Mixin gives the tenant.
func (AuditEvent) Mixin() []ent.Mixin { return []ent.Mixin{TenantMixin{}} }

// Fields of an event.
func (AuditEvent) Fields() []ent.Field {
	return []ent.Field{
		id(),
		firstInstant("at"),
		field.String("action").NotEmpty().Immutable(),
		name(colInstance),
		name(colDag),
		name(colRun),
		name(colTask),
		field.Int(colTry).Positive().Immutable(),
		field.Strings("names").Immutable(),
	}
}

// Indexes of an event.
func (AuditEvent) Indexes() []ent.Index { return []ent.Index{index.Fields(tenantColumn, "id")} }
