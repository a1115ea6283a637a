package faults

import (
	"context"
	"flag"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/pgtest"
	"github.com/neochaotic/leoflow/internal/server"
)

// away is for how long PostgreSQL is away.
var away = flag.Duration("away", 0, "for how long PostgreSQL is away, as in 60s; 0: for a window of silence and more")

const (
	// longWindow leaves beats time to be late in on a machine that starts four databases.
	longWindow = 2 * window
	// seldom is so seldom that after an outage the reaper looks first, and often enough to
	// be late.
	seldom = 3 * longWindow / 8
)

// absence is how a database may fail its server.
type absence struct {
	begin     func(*pgtest.Own, *network) (end func())
	meanwhile func(*rig)
}

var absences = map[string]absence{
	"stopped": {
		begin:     func(o *pgtest.Own, _ *network) func() { o.Stop(); return o.Start },
		meanwhile: (*rig).wantUnavailable,
	},
	"read-only": {
		begin:     func(o *pgtest.Own, _ *network) func() { o.ReadOnly(true); return func() { o.ReadOnly(false) } },
		meanwhile: (*rig).wantNothingStored,
	},
	"cut": {
		begin:     func(_ *pgtest.Own, n *network) func() { return n.cut(10) },
		meanwhile: (*rig).wantUnavailable,
	},
	"half-open": {
		begin:     func(_ *pgtest.Own, n *network) func() { return n.swallow(toDatabase, fromDatabase) },
		meanwhile: func(*rig) {}, // who asks waits
	},
}

// TestBeat2PostgresAwayEndsNoTask takes the database away from under agents of ours and
// deployed ones, for longer than the window of silence: while it is away every heartbeat
// is answered and says nothing; nothing is reaped then or afterwards; and what ended
// meanwhile is stored once it is back, once.
//
// It is not run beside the tests of other faults: the servers of PostgreSQL would take
// what these need to be in time.
func TestBeat2PostgresAwayEndsNoTask(t *testing.T) {
	for name, a := range absences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := pgtest.NewOwn(t)
			n := networkTo(t, o.Addr())
			r := start(t, server.Config{Database: o.Through(n.address(), "leoflow"), SilenceWindow: longWindow})
			r.goesAway(func() (end func()) { return a.begin(o, n) }, a.meanwhile)
		})
	}
}

// goesAway runs tasks while the database is away.
func (r *rig) goesAway(begin func() (end func()), meanwhile func(*rig)) {
	r.t.Helper()
	tasks := []string{"runs", "ends", "yields", "fails", "begins", "deployed-runs", "deployed-too", "deployed-ends", "lost"}
	r.create(r.waiting("runs"), r.waiting("ends"), r.task("yields", `arrive yields; printf 42 >"$LEOFLOW_RETURN_VALUE_PATH"`), r.task("fails", "arrive fails; exit 3"), r.waiting("begins"),
		r.waiting("deployed-runs"), r.waiting("deployed-too"), r.waiting("deployed-ends"), r.waiting("lost"))
	runs, atRuns := r.begin("runs")
	ends, atEnds := r.begin("ends")
	yields, atYields := r.begin("yields")
	fails, atFails := r.begin("fails")
	doomed, _ := r.begin("lost")
	deployedRuns, deployedEnds, deployedToo := r.deployed("deployed-runs", seldom), r.deployed("deployed-ends", seldom), r.deployed("deployed-too", seldom)
	begins := r.launch("begins", 1)

	passed := r.log.more(r.t, 10, "silence is observed anew", "reason=store") // eight make a window
	end := begin()
	atEnds.pass()
	atYields.pass()
	atFails.pass()
	passed()
	meanwhile(r)
	r.wantHealth(controlv1.ControlService_ServiceDesc.ServiceName, health.HealthCheckResponse_NOT_SERVING)
	reported := deployedEnds.ends() // such a report waits for a minute
	deployedRuns.wantUndisturbed(3)
	r.stays(*away)
	late := r.agent(r.addr, begins) // it comes again and again, though for less than a minute
	r.wantHealth("", health.HealthCheckResponse_SERVING)
	r.wantHealth(agentv1.AgentService_ServiceDesc.ServiceName, health.HealthCheckResponse_SERVING)
	end()

	if err := await(r.t, "answered: the report of a deployed agent", reported); err != nil {
		r.t.Errorf("STATE-8: %v", err)
	}
	r.wantHealth(controlv1.ControlService_ServiceDesc.ServiceName, health.HealthCheckResponse_SERVING)
	r.gate.await("begins").pass()
	r.beatOn("runs", "lost") // a window, in which nobody may be lost
	doomed.kill()            // silence is seen as ever
	r.wantEnd("lost", failed, lost, 0)
	atRuns.pass()
	for _, d := range []*deployed{deployedRuns, deployedToo} {
		d.wantUndisturbed(0)
		if err := await(r.t, "answered: the report of another", d.ends()); err != nil {
			r.t.Error(err)
		}
	}
	for _, a := range []*agent{runs, ends, yields, fails, late} {
		a.wantExit(0) // each report was acknowledged
	}
	for _, task := range []string{"runs", "ends", "yields", "begins", "deployed-runs", "deployed-too", "deployed-ends"} {
		r.wantEnd(task, success, none, 0)
	}
	r.wantEnd("fails", failed, exitNonzero, 3)
	if value := r.value("yields"); value != "42" {
		r.t.Errorf("the value is %q", value)
	}
	r.wantChanges(3 * len(tasks)) // queued, running and ended, each once
}

// stays lets time pass, where somebody wants to see it pass.
func (r *rig) stays(d time.Duration) {
	r.t.Helper()
	if d > 0 {
		await(r.t, "over: the absence", time.After(d))
	}
}

// wantNothingStored holds that no task moved though it may have ended.
func (r *rig) wantNothingStored() {
	r.t.Helper()
	for _, task := range []string{"runs", "ends", "fails", "deployed-runs", "deployed-ends", "lost"} {
		r.wantState(task, running)
	}
	r.wantState("begins", queued)
}

// wantUnavailable holds that who asks for what is stored is told that it cannot be had
// now, and does not wait for it.
func (r *rig) wantUnavailable() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, deadline/2)
	defer cancel()
	_, err := r.GetRun(ctx, &controlv1.GetRunRequest{DagId: "dag", RunId: "run"})
	if status.Code(err) != codes.Unavailable {
		r.t.Errorf("while the database is away: %v", err)
	}
}

// wantHealth waits until a probe of a service is told what it should be.
func (r *rig) wantHealth(service string, want health.HealthCheckResponse_ServingStatus) {
	r.t.Helper()
	eventually(r.t, "healthy as it should be, "+want.String()+": "+service, func() bool {
		got, err := health.NewHealthClient(r.conn).Check(r.bare, &health.HealthCheckRequest{Service: service})
		return err == nil && got.GetStatus() == want
	})
}

// wantChanges holds how many changes of its tasks the run saw.
func (r *rig) wantChanges(n int) {
	r.t.Helper()
	run := must[*controlv1.GetRunResponse](r.t)(r.GetRun(r.ctx, &controlv1.GetRunRequest{DagId: "dag", RunId: "run"}))
	if got := run.GetRun().GetRevision(); got != int64(n) {
		r.t.Errorf("the run saw %d changes, want %d", got, n)
	}
}
