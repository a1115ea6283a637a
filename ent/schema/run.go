package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Run is a run of a DAG.
type Run struct{ ent.Schema }

// Annotations name the table.
func (Run) Annotations() []schema.Annotation { return table("runs") }

// Mixin gives the tenant.
func (Run) Mixin() []ent.Mixin { return []ent.Mixin{TenantMixin{}} }

// Fields of a run.
func (Run) Fields() []ent.Field {
	return []ent.Field{
		id(),
		name(colDag),
		name(colRun),
		field.String("dag_version").Immutable(),
		field.Bytes("digest").Immutable(), // of the content, to know a repeated creation
		field.String("idempotency_key").Default("").Immutable(), // of whoever created it
		field.Int64("revision").Default(0),                      // of the last change
		firstInstant("created_at"),
	}
}

// Edges of a run.
func (Run) Edges() []ent.Edge {
	return []ent.Edge{children("tasks", TaskInstance.Type)}
}

// Indexes of a run. Lists go by the latter two, the newest first.
func (Run) Indexes() []ent.Index {
	return []ent.Index{
		uniqueInTenant(colDag, colRun),
		index.Fields(tenantColumn, "id"),
		index.Fields(tenantColumn, colDag, "id"),
	}
}
