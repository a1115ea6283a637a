package reaper

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

func TestBeat5NeverStartedFailsAfterTheQueueWindow(t *testing.T) {
	inBubble(t, func(r *rig) {
		waiting, registered := r.launch("t"), r.launch("t")
		r.do(func() { registered.registered = true })
		r.run()
		r.at(20*time.Minute - 1)
		r.want(registered, live) // its agent came, and may be fetching inputs: it need not beat yet
		r.at(20 * time.Minute)
		r.want(registered, lost)
		r.at(24*time.Hour - 1)
		r.want(waiting, live)
		r.at(24 * time.Hour)
		r.want(waiting, domain.CauseLaunchFailed)
	})
}

func TestBeat5TheQueueWindowIsUninterrupted(t *testing.T) {
	inBubble(t, func(r *rig) {
		waiting := r.launch("t")
		r.run()
		r.at(23 * time.Hour)
		r.do(func() { r.step = 10 * time.Hour })
		r.at(47 * time.Hour)
		r.want(waiting, live)
		r.at(47*time.Hour + time.Minute)
		r.want(waiting, domain.CauseLaunchFailed)
	})
}

// TestBeat5AHeldRowBeginsNoOtherQueueWindow has somebody hold the attempt's row just when
// that is settled.
func TestBeat5AHeldRowBeginsNoOtherQueueWindow(t *testing.T) {
	inBubble(t, func(r *rig) {
		waiting := r.launch("t")
		r.beats(r.ctx, r.start(0), 15*time.Second)
		r.run()
		r.at(24*time.Hour - time.Second)
		r.do(func() { r.held = waiting })
		r.at(24*time.Hour + time.Second)
		r.want(waiting, live)
		r.do(func() { r.held = nil })
		r.at(24*time.Hour + 15*time.Second)
		r.want(waiting, domain.CauseLaunchFailed)
	})
}

func TestBeat5TimedOutThoughItBeats(t *testing.T) {
	inBubble(t, func(r *rig) {
		e, unlimited := r.start(10*time.Minute), r.start(0)
		for _, e := range []*entry{e, unlimited} {
			r.beats(r.ctx, e, 15*time.Second)
		}
		r.at(4 * time.Minute) // a restart does not give it more time
		r.run()
		r.at(15*time.Minute - 1)
		r.want(e, live)
		r.at(15 * time.Minute)
		r.want(e, domain.CauseTimedOut)
		r.at(100 * time.Hour)
		r.want(unlimited, live)
	})
}

// TestBeat5NoClockStepTimesOut: neither before the reaper saw an attempt nor after.
func TestBeat5NoClockStepTimesOut(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				before := r.start(10 * time.Minute)
				r.beats(r.ctx, before, 15*time.Second)
				r.run()
				r.at(time.Minute)
				between, cancelled := r.start(10*time.Minute), r.start(0)
				for _, e := range []*entry{between, cancelled} {
					r.beats(r.ctx, e, 15*time.Second)
				}
				r.cancel(cancelled, 10*time.Minute)
				r.at(time.Minute + time.Second)
				r.do(func() { r.step = step })
				r.at(15*time.Minute - 1)
				for _, e := range []*entry{before, between, cancelled} {
					r.want(e, live)
				}
				r.at(15 * time.Minute)
				r.want(before, domain.CauseTimedOut)
				r.at(16*time.Minute + 15*time.Second)
				r.want(between, domain.CauseTimedOut)
				r.want(cancelled, domain.CauseCancelled)
			})
		})
	}
}

func TestBeat5CancelledOverItsDeadline(t *testing.T) {
	inBubble(t, func(r *rig) {
		beating, queued, forward := r.start(0), r.launch("t"), r.start(0)
		r.beats(r.ctx, beating, 15*time.Second)
		r.beats(r.ctx, forward, 15*time.Second)
		r.run()
		r.at(time.Minute)
		r.cancel(beating, time.Minute)
		r.cancel(queued, time.Minute)
		r.cancel(forward, time.Hour)
		r.at(2 * time.Minute)
		r.cancel(forward, 0)
		r.at(7*time.Minute - 1)
		for _, e := range []*entry{beating, queued, forward} {
			r.want(e, live)
		}
		r.at(7 * time.Minute)
		for _, e := range []*entry{beating, queued, forward} {
			r.want(e, domain.CauseCancelled)
		}
	})
}

// TestBeat5SilentPastTheDeadlineOfItsCancelIsCancelled: nobody starts such a task again
// because it was lost. Before the deadline it is lost as any other.
func TestBeat5SilentPastTheDeadlineOfItsCancelIsCancelled(t *testing.T) {
	inBubble(t, func(r *rig) {
		past, before, beating := r.start(0), r.start(0), r.start(0)
		r.beats(r.ctx, beating, 15*time.Second)
		r.run()
		r.cancel(past, 30*time.Second)
		r.cancel(before, time.Hour)
		r.cancel(beating, 30*time.Second)
		r.at(2*time.Minute - 1)
		for _, e := range []*entry{past, before, beating} {
			r.want(e, live)
		}
		r.at(2 * time.Minute)
		r.want(past, domain.CauseCancelled)
		r.want(before, lost)
		r.want(beating, live)
		if !strings.Contains(past.Message, "silent") {
			t.Errorf("it ended with the message %q", past.Message)
		}
	})
}

// TestBeat5ABeatAtTheLastMomentBringsTheGraceBack: the agent is there, and may yet say
// what became of its task (STATE-10). Over its grace it is settled though it beats.
func TestBeat5ABeatAtTheLastMomentBringsTheGraceBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		e := r.start(0)
		r.beat(e)
		r.cancel(e, 30*time.Second)
		r.do(func() { r.onReap = func(domain.Attempt) error { r.beat(e); return nil } })
		r.run()
		r.at(2 * time.Minute)
		r.want(e, live)
		r.beats(r.ctx, e, 13*time.Second)
		r.at(30*time.Second + DefaultGrace - 1)
		r.want(e, live)
		r.at(30*time.Second + DefaultGrace + 15*time.Second)
		r.want(e, domain.CauseCancelled)
	})
}

func TestXcom5ExpiredValuesAreSweptInBatches(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.expired = 3*sweepBatch + 5
		r.run()
		r.at(0)
		r.do(func() {
			if r.expired != 0 || len(r.sweeps) != 4 {
				t.Errorf("%d values are left after %d batches", r.expired, len(r.sweeps))
			}
			r.expired, r.writes = 7, fmt.Errorf("%w: busy", domain.ErrUnavailable)
		})
		r.at(time.Minute)
		r.do(func() { r.writes = nil })
		r.at(2 * time.Minute)
		if r.left() != 0 || r.metric("leoflow_xcom_expired_total") != 3*sweepBatch+12 {
			t.Errorf("%d values are left, counted are %v", r.left(), r.metric("leoflow_xcom_expired_total"))
		}
		r.do(func() { r.expired = 10 * sweepBatch * sweepBatches })
		r.at(3 * time.Minute)
		if n := r.left(); n != 9*sweepBatch*sweepBatches {
			t.Errorf("one sweep left %d values", n)
		}
	})
}

func TestConfigRefusesWhatCannotBeWaited(t *testing.T) {
	for _, cfg := range []Config{{Silence: -1}, {Queue: 1}, {Grace: -time.Hour}, {SweepEvery: 1}} {
		if _, err := New(&fake{}, cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
