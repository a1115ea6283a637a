package store

import (
	"slices"
	"strings"

	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/run"
	"github.com/neochaotic/leoflow/ent/taskchange"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/ent/xcomentry"
	"github.com/neochaotic/leoflow/internal/domain"
)

// On PostgreSQL the deeds of many attempts are two statements at most, which go there with
// their commit in one journey: each does all that follows from an attempt's row in parts
// that take the rows which the part before has written.

// deedsAtOnce are the calls for deeds. They tell which were done, and which runs changed.
func (s *Store) deedsAtOnce(deeds []deed, out []outcome, changed map[watchKey]struct{}) []call {
	var reports, pushes [][]any
	var ofReports, ofPushes []int
	for i, d := range deeds {
		if d.report != nil {
			reports, ofReports = append(reports, append(d.report.fullRow(), s.stamp()...)), append(ofReports, i)
		} else {
			pushes, ofPushes = append(pushes, d.push.ofAttempt()), append(ofPushes, i)
		}
	}
	return []call{
		{s.statements.pushes, pushes, nil, func(n int) { out[ofPushes[n]] = done }},
		{s.statements.reports, reports, nil, func(n int) {
			out[ofReports[n]] = done
			changed[deeds[ofReports[n]].report.watched()] = struct{}{}
		}},
	}
}

// fullRow has the columns of newReports.
func (r report) fullRow() []any {
	var at any
	if r.at != nil {
		at = *r.at
	}
	return append(refRow(r.ref), string(r.state), at, int64(r.exitCode), r.message, string(causeOfExit(r.exitCode)))
}

// movedColumns are what the history of a run has of an attempt that moved. Its time, the
// last of them, is in another column.
var movedColumns = []string{
	attempt.FieldTaskID, attempt.FieldTry, attempt.FieldState, attempt.FieldCause, attempt.FieldExitCode, attempt.FieldMessage, taskchange.FieldAt,
}

// newReports is report.apply and txn.moved for many. Locks are taken in the order of hold.go:
// all of the attempts, then all of the tasks, then all of the runs. A run's row gives the
// revisions of the changes in it.
func (s *Store) newReports() *many {
	w := s.forMany(s.timed(append(slices.Clone(refColumns), textColumn(attempt.FieldState), intColumn(colOccurredAt),
		intColumn(attempt.FieldExitCode), textColumn(attempt.FieldMessage), textColumn(colExitCause))...)...)
	w.withRows()
	var parts []string
	for _, state := range domain.TaskStateQueued.Next() {
		part := "to_" + string(state)
		parts = append(parts, "SELECT * FROM "+part)
		w.WriteString(", " + part + " AS (")
		at := w.move(state)
		w.own().and(takes(state))
		w.WriteString(" AND " + w.of(attempt.FieldState) + " = " + literal(state) + " RETURNING " + nth)
		for _, name := range append([]string{attempt.FieldTenant, attempt.FieldInstanceID, attempt.FieldTaskPk, attempt.FieldRunPk}, movedColumns[:len(movedColumns)-1]...) {
			w.WriteString(", " + w.in(attempt.Table, name))
		}
		w.WriteString(", " + w.in(attempt.Table, at) + " AS at)")
	}
	w.WriteString(", moved AS (" + strings.Join(parts, " UNION ALL ") + ")")
	w.tasks()
	w.runs()
	w.changes()
	w.WriteString(" SELECT unnest(nths) FROM bumped")
	return w.done()
}

// tasks writes the part that takes the states over into the tasks whose current tries they
// are of. Each is found by the key that begins with its tenant, whatever the database plans.
func (w *writing) tasks() {
	w.WriteString(", tasks AS (UPDATE ").Ident(taskinstance.Table).WriteString(" SET ").Ident(taskinstance.FieldState).
		WriteString(" = b.state FROM (SELECT * FROM moved ORDER BY task_pk) AS b WHERE ")
	w.equal(taskinstance.Table, taskinstance.FieldTenant, taskinstance.FieldInstanceID).WriteString(" AND " + w.in(taskinstance.Table, taskinstance.FieldID) +
		" = b.task_pk AND " + w.in(taskinstance.Table, taskinstance.FieldCurrentTry) + " = b.try RETURNING 1)")
}

// runs writes the parts that count the changes of each run and give it the next revision.
// What changed is in arrays until then. Asking for the tasks has them written before.
func (w *writing) runs() {
	w.WriteString(", counted AS (SELECT tenant, run_pk, count(*) AS n, array_agg(nth) AS nths")
	for _, name := range movedColumns {
		w.WriteString(", array_agg(" + w.Quote(name) + ") AS " + all(name))
	}
	w.WriteString(" FROM moved WHERE (SELECT count(*) FROM tasks) >= 0 GROUP BY tenant, run_pk)")
	w.WriteString(", bumped AS (UPDATE ").Ident(run.Table).WriteString(" SET ").Ident(run.FieldRevision).
		WriteString(" = " + w.in(run.Table, run.FieldRevision) + " + b.n FROM (SELECT * FROM counted ORDER BY run_pk) AS b WHERE ")
	w.equal(run.Table, run.FieldTenant).WriteString(" AND " + w.in(run.Table, run.FieldID) + " = b.run_pk RETURNING b.*, " +
		w.in(run.Table, run.FieldRevision) + " - b.n AS before)")
}

// all names the array of a column.
func all(column string) string { return "all_" + column }

// changes writes the part that adds the changes to the histories.
func (w *writing) changes() {
	arrays, columns, values := make([]string, len(movedColumns)), make([]string, len(movedColumns)), make([]string, len(movedColumns))
	for i, name := range movedColumns {
		arrays[i], columns[i], values[i] = "b."+all(name), w.Quote(name), "m."+w.Quote(name)
	}
	w.WriteString(", changed AS (INSERT INTO ").Ident(taskchange.Table).WriteString(" (").
		IdentComma(append([]string{taskchange.FieldTenant, taskchange.FieldRunPk, taskchange.FieldRevision}, movedColumns...)...).
		WriteString(") SELECT b.tenant, b.run_pk, b.before + m.nth, " + strings.Join(values, ", ") + " FROM bumped AS b, unnest(" +
			strings.Join(arrays, ", ") + ") WITH ORDINALITY AS m(" + strings.Join(columns, ", ") + ", nth))")
}

// newPushes has many attempts hand on values, those of them that may.
func (s *Store) newPushes() *many {
	w := s.forMany(append(slices.Clone(refColumns), valueColumns...)...)
	w.withRows()
	w.WriteString(", fenced AS (")
	w.fence().WriteString(" RETURNING b.*)")
	columns := slices.Clone(valueKey)
	for _, c := range valueColumns[1:] {
		columns = append(columns, c.name)
	}
	sources := make([]string, len(columns))
	for i, name := range columns {
		sources[i] = w.of(name)
	}
	w.WriteString(", stored AS (INSERT INTO ").Ident(xcomentry.Table).WriteString(" (").IdentComma(columns...).
		WriteString(") SELECT " + strings.Join(sources, ", ") + " FROM fenced AS b")
	w.orReplaceValue().WriteString(") SELECT nth FROM fenced")
	return w.done()
}
