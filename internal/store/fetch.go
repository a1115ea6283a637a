package store

import (
	"context"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/ent/xcomentry"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// colSourceTask is the task whose value is asked for, of the run of the attempt that asks.
const colSourceTask = "source_task"

// newFetch is the statement that reads a value of its run for an attempt that awaits its
// outcome, in one: mayFetch, xcomSource and the value. It finds nothing where one of them
// would say no; they tell why.
func (s *Store) newFetch() *many {
	w := s.forMany(append(append([]column(nil), refColumns...),
		textColumn(colSourceTask), textColumn(xcomentry.FieldKey), intColumn(xcomentry.FieldExpiresAt))...)
	w.reading(
		w.in(xcomentry.Table, xcomentry.FieldValue), w.in(xcomentry.Table, xcomentry.FieldContentType), w.in(xcomentry.Table, xcomentry.FieldCreatedAt),
	).WriteString(" JOIN ").Ident(attempt.Table).WriteString(" ON ")
	w.own().and(liveState())
	w.byKey(taskinstance.Table, func() {
		w.source(taskinstance.Table).WriteString(" AND " + w.in(taskinstance.Table, taskinstance.FieldCurrentTry) + " > 0")
	})
	w.byKey(xcomentry.Table, func() {
		w.source(xcomentry.Table).WriteString(" AND ")
		w.equal(xcomentry.Table, xcomentry.FieldKey).WriteString(
			" AND " + w.in(xcomentry.Table, xcomentry.FieldTry) + " = " + w.in(taskinstance.Table, taskinstance.FieldCurrentTry) +
				" AND " + w.in(xcomentry.Table, xcomentry.FieldExpiresAt) + " > " + w.of(xcomentry.FieldExpiresAt) +
				fmt.Sprintf(" AND length(%s) <= %d", w.in(xcomentry.Table, xcomentry.FieldValue), maxGathered))
	})
	return w.found()
}

// source writes that a row is of the task that is asked for.
func (w *writing) source(table string) *writing {
	w.equal(table, attempt.FieldTenant, attempt.FieldDagID, attempt.FieldRunID).WriteString(
		" AND " + w.in(table, xcomentry.FieldTaskID) + " = " + w.of(colSourceTask))
	return w
}

// wanted is a value of its run that an attempt asks for.
type wanted struct {
	key xcom.Key
	by  domain.AttemptRef
	now time.Time
}

// fetched is what was found; nil: nothing.
type fetched *xcom.Entry

// ofOneRun reports whether a value is of the run of the attempt that asks for it.
func ofOneRun(key xcom.Key, by domain.AttemptRef) bool {
	return key.DagID == by.DagID && key.RunID == by.RunID
}

// fetch is GetXCom for an attempt that awaits its outcome and a value of its run that is
// there, and not large, among others; false: it may be otherwise.
func (s *Store) fetch(ctx context.Context, w wanted) (xcom.Entry, bool, error) {
	got, err := gather(ctx, s, s.fetches.Do, w)
	if err != nil || got == nil {
		return xcom.Entry{}, false, err
	}
	return *got, true, nil
}

// readWanted reads many values, each of which was there at a moment after it was asked for.
func (s *Store) readWanted(ctx context.Context, all []wanted) ([]fetched, error) {
	rows := make([][]any, len(all))
	for i, w := range all {
		rows[i] = append(refRow(w.by), w.key.TaskID, w.key.Name, w.now.UnixMicro())
	}
	out := make([]fetched, len(all))
	var e xcom.Entry
	var created int64
	err := s.fetching.writeOne(ctx, call{s.statements.fetch, rows, []any{&e.Value, &e.ContentType, &created}, func(n int) {
		found := e
		found.SizeBytes, found.CreatedAt = len(e.Value), instant(created)
		out[n] = &found
	}})
	return unheld(out, err)
}
