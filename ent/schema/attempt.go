package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Attempt is one try of a task instance. It carries every identifier of its
// token, so that one statement can both find it and hold the token against it.
//
// heartbeat_at is in no index: it changes all the time.
type Attempt struct{ ent.Schema }

// Annotations name the table.
func (Attempt) Annotations() []schema.Annotation { return table("attempts") }

// Mixin gives the tenant.
func (Attempt) Mixin() []ent.Mixin { return []ent.Mixin{TenantMixin{}} }

// Fields of an attempt.
func (Attempt) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Int64("task_pk").Immutable(),
		field.Int64("run_pk").Immutable(),
		name(colInstance),
		name(colDag),
		name(colRun),
		name(colTask),
		field.Int(colTry).Positive().Immutable(),
		field.Int("timeout_seconds").Immutable(),
		field.String("idempotency_key").Default("").Immutable(), // of whoever launched it
		state(),
		cause(),
		field.Int("exit_code").Default(0),
		field.String("message").Default(""),
		field.Bool("settled_by_report").Default(false), // tells a repeat of that report (STATE-3)
		firstInstant("queued_at"),
		laterInstant("started_at"),
		laterInstant("ended_at"),
		laterInstant("running_occurred_at"), // by the agent's clock (STATE-6)
		laterInstant("ended_occurred_at"),   // by the agent's clock (STATE-6)
		laterInstant("heartbeat_at"),
		laterInstant("cancel_requested_at"),
		laterInstant("cancel_stop_by"),
		field.String("agent_version").Default(""),
		field.String("hostname").Default(""),
		field.Int64("fence").Default(0), // counts the writes that had to find the attempt unsettled
	}
}

// Edges of an attempt.
func (Attempt) Edges() []ent.Edge {
	return []ent.Edge{parent("of_task", TaskInstance.Type, "attempts", "task_pk")}
}

// Indexes of an attempt.
func (Attempt) Indexes() []ent.Index {
	return []ent.Index{
		uniqueInTenant(colInstance, colTry),
		index.Fields("task_pk", colTry).Unique(),
		index.Fields("run_pk"), // to cancel a run
		// Those that await their outcome, for a reaper to look at: few of many.
		index.Fields("id").Annotations(entsql.IndexWhere("ended_at IS NULL")),
	}
}
