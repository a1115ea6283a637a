package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

// schemas is what tests of migrations have to know of a dialect.
type schemas struct {
	files   fs.FS
	dialect goose.Dialect
	migrate func(context.Context, *testing.T, Config, fs.FS) error
	tables  string // query of their names
	columns string // of a table: name, type, whether it may be null, and its default
	keys    string // of a table: a column, and the table that it points to
	param   func(n int) string
}

var schemasOf = map[string]schemas{
	"sqlite": {
		files: migrations.SQLite(), dialect: goose.DialectSQLite3,
		migrate: func(ctx context.Context, _ *testing.T, place Config, files fs.FS) error {
			return migrateFile(ctx, filepath.Join(place.Dir, databaseFile), files)
		},
		tables:  "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%' ORDER BY 1",
		columns: `SELECT name, lower(type), "notnull" = 0 AND pk = 0, dflt_value FROM pragma_table_info(?) ORDER BY cid`,
		keys:    `SELECT "from", "table" FROM pragma_foreign_key_list(?)`,
		param:   func(int) string { return "?" },
	},
	"postgres": {
		files: migrations.Postgres(), dialect: goose.DialectPostgres,
		migrate: func(ctx context.Context, t *testing.T, place Config, files fs.FS) error {
			return migratePostgres(ctx, configOf(t, place.DSN), files)
		},
		tables: "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE 'goose_%' ORDER BY 1",
		columns: `SELECT column_name, data_type, is_nullable = 'YES', column_default FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position`,
		keys: `SELECT a.attname, c.confrelid::regclass::text FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
			WHERE c.contype = 'f' AND c.conrelid = $1::regclass`,
		param: func(n int) string { return fmt.Sprint("$", n) },
	},
}

// schemaTable is a table as a database describes it.
type schemaTable struct {
	name    string
	columns []schemaColumn
	points  map[string]string // a column to the table that it points to
}

type schemaColumn struct {
	name, kind string
	null       bool
	usual      sql.NullString
}

func (s schemas) describe(t *testing.T, db *sql.DB) map[string]*schemaTable {
	t.Helper()
	out := map[string]*schemaTable{}
	query(t, db, s.tables, nil, func(scan func(...any)) {
		var name string
		scan(&name)
		out[name] = &schemaTable{name: name, points: map[string]string{}}
	})
	for name, table := range out {
		query(t, db, s.columns, []any{name}, func(scan func(...any)) {
			var c schemaColumn
			scan(&c.name, &c.kind, &c.null, &c.usual)
			table.columns = append(table.columns, c)
		})
		query(t, db, s.keys, []any{name}, func(scan func(...any)) {
			var column, other string
			scan(&column, &other)
			table.points[column] = other
		})
	}
	return out
}

func query(t *testing.T, db *sql.DB, text string, args []any, each func(scan func(...any))) {
	t.Helper()
	rows, err := db.Query(text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		each(func(into ...any) {
			t.Helper()
			if err := rows.Scan(into...); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		})
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// filled is how many rows each table gets, of two tenants by turns; tenants has one of each.
const filled = 6

// fill puts rows into every table, those first that others point to. Every value is
// another one, but for those that say of rows that they belong together.
func (s schemas) fill(t *testing.T, db *sql.DB) {
	t.Helper()
	tables := s.describe(t, db)
	first := map[string]int{} // the least key of each
	for i, name := range slices.Sorted(maps.Keys(tables)) {
		first[name] = 1000 * (i + 1)
	}
	done := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if done[name] {
			return
		}
		done[name] = true
		for _, other := range tables[name].points {
			add(other)
		}
		n := filled
		if name == "tenants" {
			n = 2
		}
		for i := range n {
			s.insert(t, db, tables[name], first, i)
		}
		if s.dialect == goose.DialectPostgres { // as rows that were not given their keys do
			query(t, db, fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%[1]s', 'id'), max(id)) FROM %[1]s", name), nil,
				func(scan func(...any)) { scan(new(int64)) })
		}
	}
	for name := range tables {
		add(name)
	}
}

func (s schemas) insert(t *testing.T, db *sql.DB, table *schemaTable, first map[string]int, i int) {
	t.Helper()
	var names, params []string
	var args []any
	for _, c := range table.columns {
		names, params = append(names, `"`+c.name+`"`), append(params, s.param(len(args)+1))
		args = append(args, rowValue(t, table, c, first, i))
	}
	text := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table.name, strings.Join(names, ", "), strings.Join(params, ", "))
	if _, err := db.Exec(text, args...); err != nil {
		t.Fatalf("%s with %v: %v", text, args, err)
	}
}

// The tables that columns point to without a foreign key.
var pointing = map[string]string{"run_pk": "runs", "task_pk": "task_instances"}

// rowStates are those of the rows of attempts and tasks, by turns.
var rowStates = [filled]domain.TaskState{
	domain.TaskStateRunning, domain.TaskStateQueued, domain.TaskStateSuccess,
	domain.TaskStateFailed, domain.TaskStateRunning, domain.TaskStateRunning,
}

const cancelledRow = 5

// rowRef is the attempt that the nth rows of all tables are about.
func rowRef(i int) domain.AttemptRef {
	return domain.AttemptRef{
		TenantID: fmt.Sprint("t", i%2), TaskInstanceID: fmt.Sprint("ti-", i), DagID: fmt.Sprint("dag-ä-", i),
		RunID: fmt.Sprint("manual__2026+", i), TaskID: fmt.Sprint("task.", i), TryNumber: 1 + i/2,
	}
}

func rowSpec(i int) domain.TaskSpec {
	return domain.TaskSpec{Operator: "bash", Entrypoint: fmt.Sprint("echo ", i), Environment: map[string]string{"A": fmt.Sprint(i)}}
}

// rowValue is a column's value in the nth row of its table.
func rowValue(t *testing.T, table *schemaTable, c schemaColumn, first map[string]int, i int) any {
	t.Helper()
	if v, ok := meantValue(t, table, c.name, i); ok {
		return v
	}
	other := table.points[c.name]
	if other == "" {
		other = pointing[c.name]
	}
	number := first[table.name] + 10*slices.Index(table.columns, c) + i
	switch {
	case c.name == "id":
		return first[table.name] + i
	case other != "":
		return first[other] + i
	case c.null && i%2 == 1:
		return nil
	}
	switch c.kind {
	case "text", "character varying":
		return fmt.Sprintf("%s.%s %d é\n", table.name, c.name, i)
	case "integer", "bigint":
		return int64(number)
	case "bool", "boolean":
		return i%2 == 0
	case "blob", "bytea":
		return []byte{0, 0xff, byte(number), byte(number >> 8)}
	case "json", "jsonb":
		return fmt.Sprintf(`["%s", "%d"]`, c.name, number)
	}
	t.Fatalf("%s.%s has the type %s: say here what a value of it is", table.name, c.name, c.kind)
	return nil
}

// meantValue is the value of a column that the program reads more into than its type says.
func meantValue(t *testing.T, table *schemaTable, column string, i int) (any, bool) {
	t.Helper()
	ref, state := rowRef(i), rowStates[i]
	meant := map[string]any{
		"tenant": ref.TenantID, "instance_id": ref.TaskInstanceID, "dag_id": ref.DagID, "run_id": ref.RunID,
		"task_id": ref.TaskID, "try": ref.TryNumber, "current_try": ref.TryNumber, "state": string(state),
		"secret_scope": []string{"tenant", "declared"}[i%2], "position": 0, "revision": 1,
		"expires_at": instant(latestMicros).UnixMicro(), "settled_by_report": state.Terminal(),
		"cause": "", "cancel_requested_at": nil, "cancel_stop_by": nil, "ended_at": nil,
	}
	if table.name == "tenants" {
		meant["name"] = ref.TenantID
	}
	if state == domain.TaskStateFailed {
		meant["cause"] = string(domain.CauseExitNonzero)
	}
	if state.Terminal() {
		meant["ended_at"] = int64(1_700_000_000_000_000 + i)
	}
	if i == cancelledRow {
		meant["cancel_requested_at"], meant["cancel_stop_by"] = int64(1_700_000_000_000_000), latestMicros
	}
	if column == "spec" {
		text, err := encodeSpec(rowSpec(i))
		if err != nil {
			t.Fatal(err)
		}
		return text, true
	}
	v, ok := meant[column]
	return v, ok
}

// contents are the rows of a table in the order of their keys, as text by column.
type contents []map[string]string

// read reads every row of every table.
func (s schemas) read(t *testing.T, db *sql.DB) map[string]contents {
	t.Helper()
	out := map[string]contents{}
	for name, table := range s.describe(t, db) {
		var names []string
		for _, c := range table.columns {
			names = append(names, `"`+c.name+`"`)
		}
		out[name] = contents{}
		query(t, db, fmt.Sprintf("SELECT %s FROM %s ORDER BY 1", strings.Join(names, ", "), name), nil, func(scan func(...any)) {
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			scan(into...)
			row := map[string]string{}
			for i, c := range table.columns {
				row[c.name] = asText(values[i])
			}
			out[name] = append(out[name], row)
		})
	}
	return out
}

func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return "0x" + hex.EncodeToString(v)
	}
	return fmt.Sprintf("%T %v", v, v)
}
