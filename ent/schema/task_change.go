package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// TaskChange is an entry of a run's history. It is no edge of the run: the statement that adds it
// has just counted it in the run's row, and to look that row up once more for a foreign key
// would be a sixth of what a report takes.
type TaskChange struct{ ent.Schema }

// Annotations name the table.
func (TaskChange) Annotations() []schema.Annotation { return table("task_changes") }

// Mixin gives the tenant.
func (TaskChange) Mixin() []ent.Mixin { return []ent.Mixin{TenantMixin{}} }

// Fields of a change.
func (TaskChange) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Int64("run_pk").Immutable(),
		field.Int64("revision").Immutable(), // from 1 within the run, without holes
		name(colTask),
		field.Int(colTry).Immutable(),
		state(),
		cause(),
		field.Int("exit_code").Immutable(),
		field.String("message").Immutable(),
		firstInstant("at"),
	}
}

// Indexes of a change.
func (TaskChange) Indexes() []ent.Index {
	return []ent.Index{index.Fields("run_pk", "revision").Unique()}
}
