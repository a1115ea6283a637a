package store

import (
	"context"
	"errors"
	"maps"
	"slices"

	"entgo.io/ent/dialect/sql"

	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/run"
	"github.com/neochaotic/leoflow/ent/taskchange"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/ent/xcomentry"
	"github.com/neochaotic/leoflow/internal/domain"
)

// maxGathered is the size of the largest value that goes with others, in bytes.
const maxGathered = 32 << 10

// deed is what an attempt does to itself: it reports or it pushes.
type deed struct {
	report *report
	push   *push
}

func (d deed) key() string {
	if d.report != nil {
		return keyOf(d.report.ref)
	}
	return keyOf(d.push.from)
}

// push is a value that an attempt hands on.
type push struct {
	from               domain.AttemptRef
	name               string
	value              []byte
	contentType        string
	createdAt, expires int64
}

// storeReport stores a report, or says why it does not. It waits where as many items
// wait as may (STATE-8).
func (s *Store) storeReport(ctx context.Context, r report) error {
	if s.deeds != nil {
		got, err := gather(ctx, s, s.deeds.Do, deed{report: &r})
		if err != nil || got == done {
			return err
		}
	}
	return s.write(ctx, r.store)
}

// push stores a value. It is domain.ErrOverloaded where as many items wait as may.
func (s *Store) push(ctx context.Context, p push) (outcome, error) {
	got, err := gather(ctx, s, s.deeds.TryDo, deed{push: &p})
	return got, overloaded(err)
}

// writeDeeds does those of many attempts in one transaction that is on disk when it
// returns. Of those which it did not do it says so.
func (s *Store) writeDeeds(ctx context.Context, deeds []deed) ([]outcome, error) {
	out := make([]outcome, len(deeds))
	changed := map[watchKey]struct{}{}
	err := s.durable.write(ctx, func(t gathered) error {
		if s.postgres {
			return t.last(s.deedsAtOnce(deeds, out, changed)...)
		}
		var moves []move
		var values [][]any
		err := t.do(append(s.reports(deeds, out, &moves), s.fences(deeds, out, &values))...)
		if err != nil {
			return err
		}
		return s.writeRest(t, moves, values, changed)
	})
	if err != nil && s.postgres { // whose rows tell of the runs, and may not have come
		for _, d := range deeds {
			if d.report != nil {
				changed[d.report.watched()] = struct{}{}
			}
		}
	}
	for key := range changed { // after a commit that may have been made, too
		s.watches.wake(key)
	}
	return unheld(out, err)
}

// move is an attempt that a report has moved.
type move struct {
	*report
	taskPk, runPk, at int64
	cause             domain.Cause
}

// reports are what report.apply does, for many. They tell of the moves.
func (s *Store) reports(deeds []deed, out []outcome, moves *[]move) (calls []call) {
	for _, state := range domain.TaskStateQueued.Next() {
		var rows [][]any
		var of []int
		for i, d := range deeds {
			if d.report != nil && d.report.state == state {
				rows, of = append(rows, append(d.report.row(), s.stamp()...)), append(of, i)
			}
		}
		var m move
		var cause string
		calls = append(calls, call{s.statements.report[state], rows, []any{&m.taskPk, &m.runPk, &m.at, &cause}, func(n int) {
			m.report, m.cause = deeds[of[n]].report, domain.Cause(cause)
			*moves, out[of[n]] = append(*moves, m), done
		}})
	}
	return calls
}

// watched is what is woken by a report.
func (r report) watched() watchKey {
	return watchKey{r.ref.TenantID, domain.RunKey{DagID: r.ref.DagID, RunID: r.ref.RunID}}
}

// row has the columns of newReport.
func (r report) row() []any {
	var at any
	if r.at != nil {
		at = *r.at
	}
	if r.state == domain.TaskStateRunning {
		return append(refRow(r.ref), at)
	}
	return append(refRow(r.ref), at, int64(r.exitCode), r.message, string(causeOfExit(r.exitCode)))
}

// Columns of reports: the agent's time, and the cause that the exit code tells.
const (
	colOccurredAt = "occurred_at"
	colExitCause  = "exit_cause"
)

// newReport is the statement of report.apply for a state.
func (s *Store) newReport(state domain.TaskState) *many {
	columns := append(slices.Clone(refColumns), intColumn(colOccurredAt))
	if state != domain.TaskStateRunning {
		columns = append(columns, intColumn(attempt.FieldExitCode), textColumn(attempt.FieldMessage), textColumn(colExitCause))
	}
	w := s.forMany(s.timed(columns...)...)
	at := w.move(state)
	return w.own().and(takes(state)).done(w.in(attempt.Table, attempt.FieldTaskPk), w.in(attempt.Table, attempt.FieldRunPk),
		w.in(attempt.Table, at), w.in(attempt.Table, attempt.FieldCause))
}

// move begins to write what a report of a state does to its attempt, and returns the column
// of when.
func (w *writing) move(state domain.TaskState) (at string) {
	if state == domain.TaskStateRunning {
		w.update(attempt.Table,
			[2]string{attempt.FieldState, literal(state)}, [2]string{attempt.FieldStartedAt, w.now()},
			[2]string{attempt.FieldRunningOccurredAt, w.of(colOccurredAt)})
		return attempt.FieldStartedAt
	}
	set := [][2]string{
		{attempt.FieldState, literal(state)},
		{attempt.FieldSettledByReport, "TRUE"},
		{attempt.FieldEndedAt, w.now()},
		{attempt.FieldEndedOccurredAt, w.of(colOccurredAt)},
		{attempt.FieldExitCode, w.of(attempt.FieldExitCode)},
		{attempt.FieldMessage, w.of(attempt.FieldMessage)},
	}
	if state == domain.TaskStateFailed {
		var cause sql.Builder
		cause.SetDialect(w.Dialect())
		writeCause(&cause, func() { cause.WriteString(w.of(colOccurredAt)) },
			func() { cause.WriteString(w.now()) }, w.of(colExitCause))
		set = append(set, [2]string{attempt.FieldCause, cause.String()})
	}
	w.update(attempt.Table, set...)
	return attempt.FieldEndedAt
}

// writeRest is txn.moved for many, stores the values of those that may push, and commits.
func (s *Store) writeRest(t gathered, moves []move, values [][]any, changed map[watchKey]struct{}) error {
	value := call{of: s.statements.value, rows: values}
	if len(moves) == 0 {
		return t.last(value)
	}
	tasks := make([][]any, len(moves))
	runs := map[int64]*[]move{}
	for i, m := range moves {
		tasks[i] = []any{m.ref.TenantID, m.taskPk, int64(m.ref.TryNumber), string(m.state)}
		if runs[m.runPk] == nil {
			runs[m.runPk] = new([]move)
		}
		*runs[m.runPk] = append(*runs[m.runPk], m)
		changed[m.watched()] = struct{}{}
	}
	pks := slices.Sorted(maps.Keys(runs))
	rows := make([][]any, len(pks))
	for i, pk := range pks {
		of := *runs[pk]
		rows[i] = []any{of[0].ref.TenantID, pk, int64(len(of))}
	}
	var last int64
	var changes [][]any
	run := call{s.statements.run, rows, []any{&last}, func(n int) {
		of := *runs[pks[n]]
		for i, m := range of {
			changes = append(changes, m.change(last-int64(len(of)-1-i)))
		}
	}}
	if err := t.do(call{of: s.statements.task, rows: tasks}, run); err != nil {
		return err
	}
	if len(changes) != len(moves) {
		return errors.New("run of a task instance is missing")
	}
	return t.last(call{of: s.statements.change, rows: changes}, value)
}

// change is the entry of a move in the history.
func (m move) change(revision int64) []any {
	exitCode, message := m.exitCode, m.message
	if m.state == domain.TaskStateRunning { // which stores neither
		exitCode, message = 0, ""
	}
	return []any{m.ref.TenantID, m.runPk, revision, m.ref.TaskID, int64(m.ref.TryNumber), string(m.state), string(m.cause), int64(exitCode), message, m.at}
}

// fences are of the attempts that push, for many. Of those that may it tells the values.
func (s *Store) fences(deeds []deed, out []outcome, values *[][]any) call {
	var of []int
	var rows [][]any
	for i, d := range deeds {
		if d.push != nil {
			rows, of = append(rows, refRow(d.push.from)), append(of, i)
		}
	}
	return call{s.statements.fence, rows, nil, func(n int) {
		out[of[n]] = done
		*values = append(*values, deeds[of[n]].push.row())
	}}
}

func (p *push) row() []any {
	return []any{
		p.from.TenantID, p.from.DagID, p.from.RunID, p.from.TaskID, int64(p.from.TryNumber), p.name,
		p.value, p.contentType, p.createdAt, p.expires,
	}
}

// ofAttempt has the columns of newPushes.
func (p *push) ofAttempt() []any {
	return append(refRow(p.from), p.name, p.value, p.contentType, p.createdAt, p.expires)
}

// statements are those for many rows.
type statements struct {
	beat, fetch, spec, end *many

	calmBeat                        *many // from here on SQLite's
	report                          map[domain.TaskState]*many
	task, run, change, fence, value *many

	reports, pushes *many // PostgreSQL's
}

// durable are those that wait for the disk.
func (s statements) durable() []*many {
	if s.reports != nil {
		return []*many{s.reports, s.pushes}
	}
	return append(slices.Collect(maps.Values(s.report)), s.task, s.run, s.change, s.fence, s.value)
}

func (s *Store) newStatements() statements {
	out := statements{beat: s.newBeat(), fetch: s.newFetch(), spec: s.newSpecRead(), end: s.newEnd()}
	if s.postgres {
		out.reports, out.pushes = s.newReports(), s.newPushes()
		return out
	}
	out.calmBeat, out.report = s.newCalmBeat(), map[domain.TaskState]*many{}
	for _, state := range domain.TaskStateQueued.Next() {
		out.report[state] = s.newReport(state)
	}
	w := s.forMany(textColumn(taskinstance.FieldTenant), intColumn(taskinstance.FieldID), intColumn(taskinstance.FieldCurrentTry), textColumn(taskinstance.FieldState))
	out.task = w.update(taskinstance.Table, [2]string{taskinstance.FieldState, w.of(taskinstance.FieldState)}).
		equal(taskinstance.Table, taskinstance.FieldTenant, taskinstance.FieldID, taskinstance.FieldCurrentTry).done()

	w = s.forMany(textColumn(run.FieldTenant), intColumn(run.FieldID), intColumn(run.FieldRevision))
	out.run = w.update(run.Table, [2]string{run.FieldRevision, w.in(run.Table, run.FieldRevision) + " + " + w.of(run.FieldRevision)}).
		equal(run.Table, run.FieldTenant, run.FieldID).done(w.in(run.Table, run.FieldRevision))

	out.change = s.forMany(textColumn(taskchange.FieldTenant), intColumn(taskchange.FieldRunPk), intColumn(taskchange.FieldRevision),
		textColumn(taskchange.FieldTaskID), intColumn(taskchange.FieldTry), textColumn(taskchange.FieldState), textColumn(taskchange.FieldCause),
		intColumn(taskchange.FieldExitCode), textColumn(taskchange.FieldMessage), intColumn(taskchange.FieldAt)).
		insert(taskchange.Table).done()

	out.fence = s.forMany(refColumns...).fence().done()
	out.value = s.forMany(append([]column{
		textColumn(xcomentry.FieldTenant), textColumn(xcomentry.FieldDagID), textColumn(xcomentry.FieldRunID),
		textColumn(xcomentry.FieldTaskID), intColumn(xcomentry.FieldTry),
	}, valueColumns...)...).insert(xcomentry.Table).orReplaceValue().done()
	return out
}

// fence writes the update that finds an attempt which may push, and has it stay so.
func (w *writing) fence() *writing {
	return w.update(attempt.Table, [2]string{attempt.FieldFence, w.in(attempt.Table, attempt.FieldFence) + " + 1"}).
		own().and(liveState())
}

// valueKey is what there is one value of.
var valueKey = []string{
	xcomentry.FieldTenant, xcomentry.FieldDagID, xcomentry.FieldRunID, xcomentry.FieldTaskID, xcomentry.FieldTry, xcomentry.FieldKey,
}

// valueColumns are those of a value, its attempt aside.
var valueColumns = []column{
	textColumn(xcomentry.FieldKey),
	{xcomentry.FieldValue, bytesArray},
	textColumn(xcomentry.FieldContentType),
	intColumn(xcomentry.FieldCreatedAt), intColumn(xcomentry.FieldExpiresAt),
}

// orReplaceValue writes that a value takes the place of another.
func (w *writing) orReplaceValue() *writing {
	return w.orReplace(valueKey, xcomentry.FieldValue, xcomentry.FieldContentType, xcomentry.FieldCreatedAt, xcomentry.FieldExpiresAt)
}
