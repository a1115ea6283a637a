package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// AuditEvent says which secrets were delivered to which attempt (SECRET-5), or
// written by which operator: names, never values. The columns of the attempt are
// empty for a write, and that of the operator for a delivery.
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
		field.String(colInstance).Immutable(),
		field.String(colDag).Immutable(),
		field.String(colRun).Immutable(),
		field.String(colTask).Immutable(),
		field.Int(colTry).NonNegative().Immutable(),
		field.Strings("names").Immutable(),
		field.String("actor").Default("").Immutable(), // the subject of an operator's token
	}
}

// Indexes of an event.
func (AuditEvent) Indexes() []ent.Index { return []ent.Index{index.Fields(tenantColumn, "id")} }
