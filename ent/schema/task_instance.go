package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// TaskInstance is a task of a run, with its specification, its current try and
// its state.
type TaskInstance struct{ ent.Schema }

// Annotations name the table.
func (TaskInstance) Annotations() []schema.Annotation { return table("task_instances") }

// Mixin gives the tenant.
func (TaskInstance) Mixin() []ent.Mixin { return []ent.Mixin{TenantMixin{}} }

// Fields of a task instance.
func (TaskInstance) Fields() []ent.Field {
	return []ent.Field{
		id(),
		name(colInstance), // the token's `sub`
		field.Int64("run_pk").Immutable(),
		name(colDag),
		name(colRun),
		name(colTask),
		field.Int("position").Immutable(), // among the tasks of its run
		state(),
		field.Int("current_try").Default(0), // 0: never launched
		field.Bytes("spec").Immutable(),     // a domain.TaskSpec in JSON
		field.Strings("variables").Optional().Immutable(),
		field.Strings("connections").Optional().Immutable(),
		field.Int("timeout_seconds").Immutable(), // as in spec; 0: none
	}
}

// Edges of a task instance.
func (TaskInstance) Edges() []ent.Edge {
	return []ent.Edge{
		parent("of_run", Run.Type, "tasks", "run_pk"),
		children("attempts", Attempt.Type),
	}
}

// Indexes of a task instance.
func (TaskInstance) Indexes() []ent.Index {
	return []ent.Index{
		uniqueInTenant(colInstance),
		uniqueInTenant(colDag, colRun, colTask),
		index.Fields("run_pk"),
	}
}
