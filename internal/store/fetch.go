package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/ent/xcomentry"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// The columns of what is asked for, beside the attempt that asks.
const (
	colSourceDag  = "source_dag"
	colSourceRun  = "source_run"
	colSourceTask = "source_task"
)

// newFetch is the statement that reads a value for an attempt that awaits its outcome, in
// one: mayFetch, xcomSource and the value. It finds nothing where one of them would say
// no; they tell why.
func (s *Store) newFetch() *many {
	w := s.forMany(append(append([]column(nil), refColumns...), textColumn(colSourceDag), textColumn(colSourceRun),
		textColumn(colSourceTask), textColumn(xcomentry.FieldKey), intColumn(xcomentry.FieldExpiresAt))...)
	w.WriteString("SELECT " + strings.Join(w.numbered([]string{
		w.in(xcomentry.Table, xcomentry.FieldValue), w.in(xcomentry.Table, xcomentry.FieldContentType), w.in(xcomentry.Table, xcomentry.FieldCreatedAt),
	}), ", ") + " FROM ")
	w.each().WriteString(" JOIN ").Ident(attempt.Table).WriteString(" ON ")
	w.own().and(liveState())
	w.WriteString(" JOIN ").Ident(taskinstance.Table).WriteString(" ON ")
	w.equal(taskinstance.Table, taskinstance.FieldTenant)
	w.source(taskinstance.Table).WriteString(" AND " + w.in(taskinstance.Table, taskinstance.FieldCurrentTry) + " > 0 JOIN ").
		Ident(xcomentry.Table).WriteString(" ON ")
	w.equal(xcomentry.Table, xcomentry.FieldTenant, xcomentry.FieldKey)
	w.source(xcomentry.Table).WriteString(
		" AND " + w.in(xcomentry.Table, xcomentry.FieldTry) + " = " + w.in(taskinstance.Table, taskinstance.FieldCurrentTry) +
			" AND " + w.in(xcomentry.Table, xcomentry.FieldExpiresAt) + " > " + w.of(xcomentry.FieldExpiresAt) +
			fmt.Sprintf(" AND length(%s) <= %d", w.in(xcomentry.Table, xcomentry.FieldValue), maxGathered))
	m := w.done()
	m.returns = true
	return m
}

// source writes that a row is of the task that is asked for.
func (w *writing) source(table string) *writing {
	for _, pair := range [][2]string{
		{xcomentry.FieldDagID, colSourceDag}, {xcomentry.FieldRunID, colSourceRun}, {xcomentry.FieldTaskID, colSourceTask},
	} {
		w.WriteString(" AND " + w.in(table, pair[0]) + " = " + w.of(pair[1]))
	}
	return w
}

// wanted is a value that an attempt asks for.
type wanted struct {
	key xcom.Key
	by  domain.AttemptRef
	now time.Time
}

// fetched is what was found; nil: nothing.
type fetched *xcom.Entry

// fetch is GetXCom for an attempt that awaits its outcome and a value that is there, and
// not large, among others; false: it may be otherwise.
func (s *Store) fetch(ctx context.Context, w wanted) (xcom.Entry, bool, error) {
	end, err := s.begin()
	if err != nil {
		return xcom.Entry{}, false, err
	}
	defer end()
	got, err := s.fetches.Do(ctx, w)
	if err != nil || got == nil {
		return xcom.Entry{}, false, explain(err)
	}
	return *got, true, nil
}

// readWanted reads many values, each of which was there at a moment after it was asked for.
func (s *Store) readWanted(ctx context.Context, all []wanted) ([]fetched, error) {
	rows := make([][]any, len(all))
	for i, w := range all {
		rows[i] = append(refRow(w.by), w.key.DagID, w.key.RunID, w.key.TaskID, w.key.Name, w.now.UnixMicro())
	}
	out := make([]fetched, len(all))
	var e xcom.Entry
	var created int64
	err := s.fetching.writeOne(ctx, call{s.statements.fetch, rows, []any{&e.Value, &e.ContentType, &created}, func(n int) {
		found := e
		found.SizeBytes, found.CreatedAt = len(e.Value), instant(created)
		out[n] = &found
	}})
	return out, err
}
