package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/mixin"
)

// Tenant holds a tenant's settings. Its row appears with the first run or secret;
// without one the defaults hold.
type Tenant struct{ ent.Schema }

// Annotations name the table.
func (Tenant) Annotations() []schema.Annotation { return table("tenants") }

// Mixin limits a tenant to its own row.
func (Tenant) Mixin() []ent.Mixin { return []ent.Mixin{ownTenantMixin{}} }

// Fields of a tenant.
func (Tenant) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.String("name").NotEmpty().Immutable().Unique().Annotations(bytewise()),
		field.String("secret_scope").Default("tenant"), // a secrets.Scope (SECRET-3)
		firstInstant("created_at"),
	}
}

// ownTenantMixin is TenantMixin for the table whose rows are the tenants.
type ownTenantMixin struct{ mixin.Schema }

func (ownTenantMixin) Policy() ent.Policy              { return tenantScope{"name"} }
func (ownTenantMixin) Interceptors() []ent.Interceptor { return tenantScope{"name"}.interceptors() }
func (ownTenantMixin) Hooks() []ent.Hook               { return tenantScope{"name"}.hooks() }
