package faults

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

// lock locks the database against every other writer, as a backup or a person with a
// shell may, and returns what unlocks it.
func (r *rig) lock() (unlock func()) {
	r.t.Helper()
	db := must[*sql.DB](r.t)(sql.Open("sqlite", filepath.Join(r.dir, "leoflow.db")))
	conn := must[*sql.Conn](r.t)(db.Conn(r.ctx))
	exec := func(statement string) {
		r.t.Helper()
		if _, err := conn.ExecContext(context.Background(), statement); err != nil {
			r.t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("PRAGMA busy_timeout = 60000")
	exec("BEGIN EXCLUSIVE")
	held := true
	unlock = func() {
		if held {
			held = false
			exec("ROLLBACK")
			_ = conn.Close()
			_ = db.Close()
		}
	}
	r.t.Cleanup(unlock)
	return unlock
}

// TestBeat2LockedDatabaseEndsNoTask locks the database for longer than the window of
// silence. Each beat that the test makes of its own takes as long as a heartbeat waits
// for the store, of which two make a window.
func TestBeat2LockedDatabaseEndsNoTask(t *testing.T) {
	t.Parallel()
	r := start(t, server.Config{})
	r.create(
		r.waiting("runs"), r.waiting("ends"), r.task("fails", "arrive fails; exit 3"), r.waiting("begins"),
		r.task("yields", `arrive yields; echo 42 >"$LEOFLOW_RETURN_VALUE_PATH"`),
	)
	token := r.launch("runs", 1)
	agents := []*agent{r.agent(r.addr, token)}
	runs := r.gate.await("runs")
	var visits []*visit
	for _, task := range []string{"ends", "fails", "yields"} {
		a, visit := r.begin(task)
		agents, visits = append(agents, a), append(visits, visit)
	}
	begins := r.launch("begins", 1)

	interrupted := r.log.more(t, 2, "silence is observed anew", "reason=store")
	unlock := r.lock()
	for _, visit := range visits {
		visit.pass()
	}
	agents = append(agents, r.agent(r.addr, begins))
	for _, visit := range visits {
		visit.gone()
	}
	client, ctx := r.wire(token)
	for range 4 {
		beat, err := client.Heartbeat(ctx, &agentv1.HeartbeatRequest{})
		if err != nil || beat.GetShouldTerminate() || beat.GetReason() != 0 || beat.GetRenewedToken() != "" || beat.GetServerTime() == nil {
			t.Errorf("BEAT-2: answered %v, %v", beat, err)
		}
	}
	interrupted()
	for _, task := range []string{"runs", "ends", "fails", "yields"} {
		r.wantState(task, running)
	}
	r.wantState("begins", queued)

	unlock()
	r.gate.await("begins").pass()
	runs.pass()
	for _, a := range agents {
		a.wantExit(0) // each report was acknowledged
	}
	for _, task := range []string{"runs", "ends", "begins", "yields"} {
		r.wantEnd(task, success, none, 0)
	}
	r.wantEnd("fails", failed, exitNonzero, 3)
	if value := r.value("yields"); value != "42\n" {
		t.Errorf("the value is %q", value)
	}
	run := must[*controlv1.GetRunResponse](t)(r.GetRun(r.ctx, &controlv1.GetRunRequest{DagId: "dag", RunId: "run"}))
	if n := run.GetRun().GetRevision(); n != 3*5 { // queued, running and ended, each once
		t.Errorf("the run saw %d changes, want 15", n)
	}
}

// value returns what the current try of a task returned.
func (r *rig) value(task string) string {
	r.t.Helper()
	resp := must[*controlv1.GetXComResponse](r.t)(r.GetXCom(r.ctx, &controlv1.GetXComRequest{DagId: "dag", RunId: "run", TaskId: task}))
	return string(resp.GetValue())
}
