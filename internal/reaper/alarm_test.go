package reaper

import (
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// many starts n attempts, of which those from the silent-th on beat.
func (r *rig) many(n, silent int) []*entry {
	out := make([]*entry, n)
	for i := range out {
		out[i] = r.start(0)
		if i >= silent {
			r.beats(r.ctx, out[i], 15*time.Second)
		}
	}
	return out
}

func TestBeat5SilenceOfMostStopsReaping(t *testing.T) {
	inBubble(t, func(r *rig) {
		attempts := r.many(20, 12)
		waiting := r.launch("t")
		cancelled := r.start(0)
		r.cancel(cancelled, time.Minute)
		r.beats(r.ctx, cancelled, 15*time.Second)
		r.run()
		r.at(30 * time.Hour)
		for _, e := range append(attempts, waiting) {
			r.want(e, live)
		}
		if r.metric("leoflow_reaper_alarm") != 1 || r.metric("leoflow_reaper_alarms_total") != 1 {
			t.Errorf("alarm %v, %v in all", r.metric("leoflow_reaper_alarm"), r.metric("leoflow_reaper_alarms_total"))
		}
		for _, e := range attempts[:4] { // 8 of 21 stay silent
			r.beats(r.ctx, e, 15*time.Second)
		}
		r.at(30*time.Hour + time.Minute)
		if r.metric("leoflow_reaper_alarm") != 0 {
			t.Error("the alarm goes on")
		}
		r.want(attempts[11], live)
		r.at(30*time.Hour + 3*time.Minute)
		for i, e := range attempts {
			want := live
			if i >= 4 && i < 12 {
				want = lost
			}
			r.want(e, want)
		}
		r.want(cancelled, domain.CauseCancelled)
		r.stop()
		if n := strings.Count(r.log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d errors are logged:\n%s", n, r.log.String())
		}
	})
}

// TestBeat5SilenceOfMostCountsThoseAboutToFallDue: beats are spread over an interval,
// so that no single look sees most of them fall due.
func TestBeat5SilenceOfMostCountsThoseAboutToFallDue(t *testing.T) {
	inBubble(t, func(r *rig) {
		attempts := r.many(10, 6)
		r.run()
		for i, e := range attempts[:6] {
			r.at(time.Duration(i) * 10 * time.Second)
			r.beat(e)
		}
		r.at(time.Hour)
		for _, e := range attempts {
			r.want(e, live)
		}
	})
}

func TestBeat5SilenceOfFewIsNoAlarm(t *testing.T) {
	for _, c := range []struct{ all, silent int }{{9, 9}, {20, 9}, {1, 1}} {
		inBubble(t, func(r *rig) {
			attempts := r.many(c.all, c.silent)
			for range 20 {
				r.launch("t") // waits: it has no reason to beat
			}
			r.run()
			r.at(121 * time.Second)
			for i, e := range attempts {
				want := live
				if i < c.silent {
					want = lost
				}
				r.want(e, want)
			}
			if r.metric("leoflow_reaper_alarms_total") != 0 {
				t.Errorf("%d of %d raised an alarm", c.silent, c.all)
			}
		})
	}
}

// TestAlarmThatIgnoresTheUnheard: what was left behind before the first look ends as if
// there were no alarm, and those that were heard are guarded by it as ever.
func TestAlarmThatIgnoresTheUnheard(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.unheard = true
		left := r.many(30, 30)
		heard := r.many(10, 10)
		r.run()
		r.at(time.Minute)
		for _, e := range heard {
			r.beat(e)
		}
		later := r.many(10, 10)
		r.at(121 * time.Second)
		for _, e := range left {
			r.want(e, lost)
		}
		r.at(time.Hour)
		for _, e := range append(heard, later...) {
			r.want(e, live)
		}
		if n := r.metric("leoflow_reaper_alarms_total"); n != 1 {
			t.Errorf("%v alarms", n)
		}
	})
}

// TestEachLookThatReadsIsTimed: a look that could not read is none of them.
func TestEachLookThatReadsIsTimed(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start(0)
		r.run()
		r.at(30 * time.Second) // at 0, 15 and 30
		r.do(func() { r.reads = domain.ErrUnavailable })
		r.at(45 * time.Second)
		if n := r.metric("leoflow_reaper_read_seconds"); n != 3 {
			t.Errorf("%v looks are timed, want 3", n)
		}
	})
}
