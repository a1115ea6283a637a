package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// XComEntry is a value that an attempt pushed.
type XComEntry struct{ ent.Schema }

// Annotations name the table.
func (XComEntry) Annotations() []schema.Annotation { return table("xcom_entries") }

// Mixin gives the tenant.
func (XComEntry) Mixin() []ent.Mixin { return []ent.Mixin{TenantMixin{}} }

// Fields of a value.
func (XComEntry) Fields() []ent.Field {
	return []ent.Field{
		id(),
		name(colDag),
		name(colRun),
		name(colTask),
		field.Int(colTry).Positive().Immutable(),
		name("key"),
		field.Bytes("value"),
		field.String("content_type"),
		instant("created_at"),
		instant("expires_at"),
	}
}

// Indexes of a value.
func (XComEntry) Indexes() []ent.Index {
	return []ent.Index{
		uniqueInTenant(colDag, colRun, colTask, colTry, "key"),
		index.Fields("expires_at"),
	}
}
