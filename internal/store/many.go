package store

import (
	"fmt"
	"slices"
	"strings"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/predicate"
	"github.com/neochaotic/leoflow/internal/domain"
)

// This file sends SQL past ent's policies, for many rows of any tenants at once. Each
// statement takes the tenant of each row from that row, and matches or writes it; a test
// reads them all.
//
// On PostgreSQL a statement takes its rows as arrays, and does all at once. On SQLite it
// is prepared, and run for each row: there are no journeys to be saved.

// column is one that rows bring along, and its type in arrays.
type column struct{ name, array string }

const (
	textArray  = "text[]"
	intArray   = "bigint[]"
	bytesArray = "bytea[]"
)

// colNow is the time of a row's item, where the database does not tell it.
const colNow = "now"

func textColumn(name string) column { return column{name, textArray} }
func intColumn(name string) column  { return column{name, intArray} }

// The columns of an attempt's identity, in the order in which refRow gives them.
var refColumns = []column{
	textColumn(attempt.FieldTenant), textColumn(attempt.FieldInstanceID), intColumn(attempt.FieldTry),
	textColumn(attempt.FieldDagID), textColumn(attempt.FieldRunID), textColumn(attempt.FieldTaskID),
}

func refRow(ref domain.AttemptRef) []any {
	return []any{ref.TenantID, ref.TaskInstanceID, int64(ref.TryNumber), ref.DagID, ref.RunID, ref.TaskID}
}

// many is a statement that does the same to each of many rows.
type many struct {
	columns []column
	args    []any // after those of the rows
	text    string
	returns bool
}

// writing is a many in the making. Its rows are called b.
type writing struct {
	entsql.Builder
	columns []column
	clock   bool // rows bring the time along
}

// forMany begins a statement for rows of those columns, and of the time.
func (s *Store) forMany(columns ...column) *writing {
	w := &writing{columns: columns, clock: s.clock != nil}
	w.SetDialect(dialect.SQLite)
	if s.postgres {
		w.SetDialect(dialect.Postgres)
	}
	if w.clock {
		w.columns = append(slices.Clone(columns), intColumn(colNow))
	}
	return w
}

// rows writes where the rows come from. On PostgreSQL they are numbered from 1.
func (w *writing) rows() *writing {
	names := make([]string, len(w.columns))
	sources := make([]string, len(w.columns))
	for i, c := range w.columns {
		names[i] = w.Quote(c.name)
		if sources[i] = fmt.Sprintf("$%d::%s", i+1, c.array); w.Dialect() == dialect.SQLite {
			sources[i] = fmt.Sprintf("?%d AS %s", i+1, names[i])
		}
	}
	w.SetTotal(len(w.columns))
	if w.Dialect() == dialect.SQLite {
		w.WriteString("(SELECT " + strings.Join(sources, ", ") + ") AS b")
		return w
	}
	w.WriteString("unnest(" + strings.Join(sources, ", ") + ") WITH ORDINALITY AS b(" + strings.Join(names, ", ") + ", nth)")
	return w
}

// of writes a column of the rows.
func (w *writing) of(name string) string { return "b." + w.Quote(name) }

// equal writes that columns of a table are those of the rows.
func (w *writing) equal(table string, columns ...string) *writing {
	for i, name := range columns {
		if i > 0 {
			w.WriteString(" AND ")
		}
		w.WriteString(w.Quote(table) + "." + w.Quote(name) + " = " + w.of(name))
	}
	return w
}

// own writes what [own] says, of the rows.
func (w *writing) own() *writing {
	names := make([]string, len(refColumns))
	for i, c := range refColumns {
		names[i] = c.name
	}
	return w.equal(attempt.Table, names...)
}

// and writes a guard, the very one that a statement of one row has.
func (w *writing) and(guard predicate.Attempt) *writing {
	s := entsql.Dialect(w.Dialect()).Select().From(entsql.Table(attempt.Table))
	guard(s)
	w.WriteString(" AND ")
	w.Join(s.P())
	return w
}

// now is the time: that of each row, or the database's.
func (w *writing) now() string {
	if w.clock {
		return w.of(colNow)
	}
	return "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
}

// done is the statement. It returns those columns of a row that it has written.
func (w *writing) done(returning ...string) *many {
	m := &many{columns: w.columns, returns: len(returning) > 0}
	if m.returns {
		if w.Dialect() == dialect.Postgres {
			returning = append([]string{"b.nth"}, returning...)
		}
		w.WriteString(" RETURNING " + strings.Join(returning, ", "))
	}
	m.text, m.args = w.Query()
	return m
}
