package store

import (
	"context"
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
	w.one = true
	w.WriteString("SELECT ")
	for i, name := range []string{xcomentry.FieldValue, xcomentry.FieldContentType, xcomentry.FieldCreatedAt} {
		if i > 0 {
			w.Comma()
		}
		w.WriteString(w.in(xcomentry.Table, name))
	}
	w.WriteString(" FROM ")
	w.rows().WriteString(" JOIN ").Ident(attempt.Table).WriteString(" ON ")
	w.own().and(liveState())
	w.WriteString(" JOIN ").Ident(taskinstance.Table).WriteString(" ON ")
	w.equal(taskinstance.Table, taskinstance.FieldTenant)
	w.source(taskinstance.Table).WriteString(" AND " + w.in(taskinstance.Table, taskinstance.FieldCurrentTry) + " > 0 JOIN ").
		Ident(xcomentry.Table).WriteString(" ON ")
	w.equal(xcomentry.Table, xcomentry.FieldTenant, xcomentry.FieldKey)
	w.source(xcomentry.Table).WriteString(
		" AND " + w.in(xcomentry.Table, xcomentry.FieldTry) + " = " + w.in(taskinstance.Table, taskinstance.FieldCurrentTry) +
			" AND " + w.in(xcomentry.Table, xcomentry.FieldExpiresAt) + " > " + w.of(xcomentry.FieldExpiresAt))
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

// fetch is GetXCom for an attempt that awaits its outcome and a value that is there;
// false: it may be otherwise.
func (s *Store) fetch(ctx context.Context, key xcom.Key, by domain.AttemptRef, now time.Time) (out xcom.Entry, found bool, err error) {
	end, err := s.begin()
	if err != nil {
		return xcom.Entry{}, false, err
	}
	defer end()
	row := append(refRow(by), key.DagID, key.RunID, key.TaskID, key.Name, now.UnixMicro())
	var created int64
	err = s.fetching.readOne(ctx, s.statements.fetch, row, []any{&out.Value, &out.ContentType, &created}, func() {
		out.SizeBytes, out.CreatedAt, found = len(out.Value), instant(created), true
	})
	return out, found, explain(err)
}
