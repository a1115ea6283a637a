package store

import (
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// TestState8WhatIsNotPreparedIsPreparedAnew has what is between a server and its database
// forget what was prepared over a connection, or hand one out that has the names already:
// nobody is told of it.
func TestState8WhatIsNotPreparedIsPreparedAnew(t *testing.T) {
	for name, between := range map[string]struct {
		before bool // whatever was prepared
		does   string
	}{
		"forgotten": {false, "DEALLOCATE ALL"},
		"taken":     {true, "PREPARE many_0 AS SELECT 1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t, alone["postgres"](t), 1)
			if !between.before {
				a.doAll(t, "first")
			}
			for _, g := range []*gathering{a.hasty, a.durable, a.fetching} {
				if _, err := g.db.ExecContext(t.Context(), between.does); err != nil {
					t.Fatal(err)
				}
			}
			a.doAll(t, "then")
		})
	}
}

// doAll does over each connection what goes over it.
func (a attempts) doAll(t *testing.T, value string) {
	t.Helper()
	now, ref := time.Now(), a.ids[0].Attempt()
	for what, err := range map[string]error{
		"report":    a.report(patiently(t), 0, domain.TaskStateRunning),
		"push":      a.PutXCom(patiently(t), ref, "k", xcom.Entry{Value: []byte(value), CreatedAt: now}, now.Add(time.Hour)),
		"heartbeat": a.heartbeat(patiently(t), a.ids[0]),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	got, err := a.GetXCom(patiently(t), xcom.Key{TenantID: "a", DagID: "d", RunID: "r", TaskID: "x00", Name: "k"}, &ref, now)
	if err != nil || string(got.Value) != value {
		t.Errorf("fetch: %q, %v", got.Value, err)
	}
}
