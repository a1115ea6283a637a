package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
)

// Variable is a secret value under a key, sealed (SECRET-6).
type Variable struct{ ent.Schema }

// Annotations name the table.
func (Variable) Annotations() []schema.Annotation { return table("variables") }

// Mixin gives the tenant.
func (Variable) Mixin() []ent.Mixin { return []ent.Mixin{TenantMixin{}} }

// Fields of a variable.
func (Variable) Fields() []ent.Field { return sealedFields() }

// Indexes of a variable.
func (Variable) Indexes() []ent.Index { return []ent.Index{uniqueInTenant("name")} }

// Connection is a URI under an id, sealed (SECRET-6).
type Connection struct{ ent.Schema }

// Annotations name the table.
func (Connection) Annotations() []schema.Annotation { return table("connections") }

// Mixin gives the tenant.
func (Connection) Mixin() []ent.Mixin { return []ent.Mixin{TenantMixin{}} }

// Fields of a connection.
func (Connection) Fields() []ent.Field { return sealedFields() }

// Indexes of a connection.
func (Connection) Indexes() []ent.Index { return []ent.Index{uniqueInTenant("name")} }

func sealedFields() []ent.Field {
	return []ent.Field{
		id(),
		name("name"),
		field.Bytes("sealed").Sensitive(),
		firstInstant("created_at"),
		instant("updated_at"),
	}
}
