package store

import (
	"database/sql/driver"
	"fmt"
	"regexp"
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
// On PostgreSQL a statement takes its rows as arrays, called b, and does all at once. On
// SQLite it is run for each row, whose columns are its first arguments.

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

// refRows are the rows of many attempts.
func refRows(refs []domain.AttemptRef) [][]any {
	rows := make([][]any, len(refs))
	for i, ref := range refs {
		rows[i] = refRow(ref)
	}
	return rows
}

// many is a statement that does the same to each of many rows.
type many struct {
	columns []column
	args    []any // after those of the rows
	text    string
	returns bool
}

// nth is the number of a row on PostgreSQL, from 1.
const nth = "b.nth"

// writing is a many in the making.
type writing struct {
	entsql.Builder
	columns []column
	named   bool // the rows of PostgreSQL are a part of the statement
}

// forMany begins a statement for rows of those columns.
func (s *Store) forMany(columns ...column) *writing {
	w := &writing{columns: columns}
	w.SetDialect(dialect.SQLite)
	if s.postgres {
		w.SetDialect(dialect.Postgres)
	}
	w.SetTotal(len(columns))
	return w
}

// timed are columns, and that of the time where rows bring it along.
func (s *Store) timed(columns ...column) []column {
	if s.clock == nil {
		return columns
	}
	return append(slices.Clone(columns), intColumn(colNow))
}

// rows writes where the rows of PostgreSQL come from. They are numbered from 1.
func (w *writing) rows() *writing {
	names := make([]string, len(w.columns))
	sources := make([]string, len(w.columns))
	for i, c := range w.columns {
		names[i], sources[i] = w.Quote(c.name), fmt.Sprintf("$%d::%s", i+1, c.array)
	}
	w.WriteString("unnest(" + strings.Join(sources, ", ") + ") WITH ORDINALITY AS b(" + strings.Join(names, ", ") + ", nth)")
	return w
}

// withRows begins a statement of several parts, of which the first is the rows.
func (w *writing) withRows() {
	w.WriteString("WITH b AS (SELECT * FROM ")
	w.rows().WriteString(")")
	w.named = true
}

// of writes a column of the rows.
func (w *writing) of(name string) string {
	if w.Dialect() == dialect.Postgres {
		return "b." + w.Quote(name)
	}
	return fmt.Sprintf("?%d", 1+slices.IndexFunc(w.columns, func(c column) bool { return c.name == name }))
}

// equal writes that columns of a table are those of the rows.
func (w *writing) equal(table string, columns ...string) *writing {
	for i, name := range columns {
		if i > 0 {
			w.WriteString(" AND ")
		}
		w.WriteString(w.in(table, name) + " = " + w.of(name))
	}
	return w
}

// update begins to write an update of a table that sets columns to expressions. The
// constants among those are no arguments: the rows' come first.
func (w *writing) update(table string, set ...[2]string) *writing {
	w.WriteString("UPDATE ").Ident(table).WriteString(" SET ")
	for i, s := range set {
		if i > 0 {
			w.Comma()
		}
		w.Ident(s[0]).WriteString(" = " + s[1])
	}
	if w.Dialect() == dialect.Postgres {
		w.WriteString(" FROM ")
		if w.named {
			w.WriteString("b")
		} else {
			w.rows()
		}
	}
	w.WriteString(" WHERE ")
	return w
}

// insert writes an insertion of the rows into a table.
func (w *writing) insert(table string) *writing {
	names := make([]string, len(w.columns))
	values := make([]string, len(w.columns))
	for i, c := range w.columns {
		names[i], values[i] = w.Quote(c.name), w.of(c.name)
	}
	w.WriteString("INSERT INTO ").Ident(table).WriteString(" (" + strings.Join(names, ", ") + ") ")
	if w.Dialect() == dialect.SQLite {
		w.WriteString("VALUES (" + strings.Join(values, ", ") + ")")
		return w
	}
	w.WriteString("SELECT " + strings.Join(values, ", ") + " FROM ")
	return w.rows()
}

// reading begins to read columns of tables that the rows are joined with.
func (w *writing) reading(columns ...string) *writing {
	w.WriteString("SELECT " + strings.Join(w.numbered(columns), ", ") + " FROM ")
	if w.Dialect() == dialect.SQLite {
		w.WriteString("(SELECT 1) AS b")
		return w
	}
	return w.rows()
}

// byKey joins a table whose rows are found by all columns of a key. PostgreSQL looks at it by
// itself, for each row: else it may take the first columns, which have but one row while it
// knows nothing of the table, and reads all that there are.
func (w *writing) byKey(table string, where func()) {
	w.WriteString(" JOIN ")
	if w.Dialect() == dialect.SQLite {
		w.Ident(table).WriteString(" ON ")
		where()
		return
	}
	w.WriteString("LATERAL (SELECT * FROM ").Ident(table).WriteString(" WHERE ")
	where()
	w.WriteString(" OFFSET 0) AS ").Ident(table).WriteString(" ON TRUE")
}

// orReplace writes that a row of the same key takes those columns over.
func (w *writing) orReplace(key []string, columns ...string) *writing {
	w.WriteString(" ON CONFLICT (").IdentComma(key...).WriteString(") DO UPDATE SET ")
	for i, name := range columns {
		if i > 0 {
			w.Comma()
		}
		w.Ident(name).WriteString(" = excluded." + w.Quote(name))
	}
	return w
}

// in is a column of a table.
func (w *writing) in(table, name string) string { return w.Quote(table) + "." + w.Quote(name) }

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
	if slices.Contains(w.columns, intColumn(colNow)) {
		return w.of(colNow)
	}
	return "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
}

// done is the statement. It returns those columns of a row that it has written.
func (w *writing) done(returning ...string) *many {
	if len(returning) > 0 {
		w.WriteString(" RETURNING " + strings.Join(w.numbered(returning), ", "))
	}
	text, args := w.Query()
	m := &many{columns: w.columns, text: text, returns: len(returning) > 0}
	for _, arg := range args {
		value, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			panic(err) // an argument of ours that no database takes
		}
		m.args = append(m.args, value)
	}
	if w.Dialect() == dialect.SQLite {
		m.text = numberArgs(text, len(w.columns))
	}
	return m
}

// found is the statement, which has said what it reads.
func (w *writing) found() *many {
	m := w.done()
	m.returns = true
	return m
}

// told is the statement, which tells only which rows it has written. SQLite counts them.
func (w *writing) told() *many {
	if w.Dialect() == dialect.Postgres {
		w.WriteString(" RETURNING " + nth)
	}
	return w.done()
}

// numbered are columns, and before them which row they are of, where that has to be told.
func (w *writing) numbered(columns []string) []string {
	if w.Dialect() == dialect.Postgres {
		return append([]string{nth}, columns...)
	}
	return columns
}

// numberArgs gives the arguments of SQLite that have no number the next ones.
func numberArgs(text string, used int) string {
	return regexp.MustCompile(`\?\d*`).ReplaceAllStringFunc(text, func(arg string) string {
		if arg != "?" {
			return arg
		}
		used++
		return fmt.Sprintf("?%d", used)
	})
}
