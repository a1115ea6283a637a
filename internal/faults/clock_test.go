package faults

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/server"
)

// clock is a wall clock that somebody sets.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time        { return time.Now().Round(0).Add(time.Duration(c.off.Load())) }
func (c *clock) step(by time.Duration) { c.off.Add(int64(by)) }

// TestBeat5NoClockStepEndsAHealthyTask sets the server's clock by hours in either
// direction under tasks that run, with and without a time-out that the step is beyond,
// under one that waits for its agent, and around others that begin and end.
func TestBeat5NoClockStepEndsAHealthyTask(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][2]time.Duration{
		"forth and back": {2 * time.Hour, -4 * time.Hour},
		"back and forth": {-2 * time.Hour, 4 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clock clock
			r := start(t, server.Config{Clock: clock.now})
			timed := r.waiting("timed")
			timed.ExecutionTimeoutSeconds = 3600
			r.create(timed, r.waiting("untimed"), r.waiting("late"), r.waiting("lost"), r.waiting("fresh-0"), r.waiting("fresh-1"))
			a, at := r.begin("timed")
			b, bt := r.begin("untimed")
			doomed, _ := r.begin("lost")
			token := r.launch("late", 1)
			for i, step := range steps {
				noticed := r.log.more(t, 1, "silence is observed anew", "reason=clock")
				clock.step(step)
				noticed()
				r.beatOn("timed", "untimed", "lost")
				for _, task := range []string{"timed", "untimed", "lost"} {
					r.wantState(task, running)
				}
				r.wantState("late", queued)
				fresh := []string{"fresh-0", "fresh-1"}[i]
				c, ct := r.begin(fresh)
				ct.pass()
				c.wantExit(0)
				r.wantEnd(fresh, success, none, 0)
			}
			doomed.kill() // silence is seen as ever
			r.wantEnd("lost", failed, lost, 0)
			late := r.agent(r.addr, token)
			r.gate.await("late").pass()
			at.pass()
			bt.pass()
			for _, agent := range []*agent{a, b, late} {
				agent.wantExit(0)
			}
			for _, task := range []string{"timed", "untimed", "late"} {
				r.wantEnd(task, success, none, 0)
			}
		})
	}
}
