package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Names of columns that several tables share.
const (
	colDag      = "dag_id"
	colRun      = "run_id"
	colTask     = "task_id"
	colTry      = "try"
	colInstance = "instance_id"
)

// id is the surrogate key of a row. It leaves the store only as what tells the order
// of rows (Seq in domain), for lists to go on from.
func id() ent.Field { return field.Int64("id") }

// bytewise has a column of text ordered by its bytes, as lists promise, whatever language
// a database of PostgreSQL sorts by. SQLite does so by itself.
func bytewise() schema.Annotation { return entsql.Annotation{Collation: "C"} }

// name is a part of a natural key.
func name(column string) ent.Field {
	return field.String(column).NotEmpty().Immutable().Annotations(bytewise())
}

// instant is a time in microseconds since the Unix epoch, UTC.
func instant(column string) ent.Field { return field.Int64(column) }

// firstInstant is an instant that is written with its row and stays.
func firstInstant(column string) ent.Field { return field.Int64(column).Immutable() }

// laterInstant is an instant that is NULL until it has happened.
func laterInstant(column string) ent.Field { return field.Int64(column).Optional().Nillable() }

// state is a state of domain's table.
func state() ent.Field { return field.String("state").GoType(domain.TaskState("")) }

// cause is why an attempt ended other than by success.
func cause() ent.Field { return field.String("cause").GoType(domain.Cause("")).Default("") }

// children is an edge to rows that keep their parent from being deleted.
func children(name string, of any) ent.Edge {
	return edge.To(name, of).Annotations(entsql.OnDelete(entsql.Restrict))
}

// parent is the other end of children, over column.
func parent(name string, of any, children, column string) ent.Edge {
	return edge.From(name, of).Ref(children).Field(column).Unique().Required().Immutable()
}

// table names a table.
func table(name string) []schema.Annotation { return []schema.Annotation{entsql.Table(name)} }
