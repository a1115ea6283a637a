package reaper

import (
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestBeat5AHeldRowIsNotSilence has somebody hold an attempt's row for so long that none
// of its beats can be stored for windows, and let go of it at any time between two beats:
// it is heard again, and lives. One that is silent then is lost as ever.
func TestBeat5AHeldRowIsNotSilence(t *testing.T) {
	for _, silentAfterwards := range []bool{false, true} {
		for after := time.Duration(0); after < 120*time.Second; after += 10 * time.Second {
			inBubble(t, func(r *rig) {
				held := r.start(0)
				r.beats(r.ctx, held, 15*time.Second)
				r.beats(r.ctx, r.start(0), 15*time.Second)
				r.run()
				r.at(time.Minute + 2*time.Second)
				r.do(func() { r.held = held })
				r.at(5*time.Minute + after + 2*time.Second)
				r.want(held, live)
				r.do(func() {
					r.held = nil
					if silentAfterwards {
						r.mute = held
					}
				})
				if silentAfterwards {
					r.at(5*time.Minute + after + 125*time.Second)
					r.want(held, lost)
					return
				}
				r.at(15 * time.Minute)
				r.want(held, live)
			})
		}
	}
}

// TestBeat5AProbeThatFailsIsMadeAgain: a disk may be slow for a moment, and what is dead
// does not get a window of silence more for that.
func TestBeat5AProbeThatFailsIsMadeAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		dead := r.start(0)
		r.beats(r.ctx, r.start(0), 15*time.Second)
		r.run()
		r.at(89 * time.Second)
		r.do(func() { r.held = dead })
		r.at(91 * time.Second)
		r.do(func() { r.held = nil }) // it is written at 105 s
		r.at(135*time.Second - 1)
		r.want(dead, live)
		r.at(135 * time.Second)
		r.want(dead, lost)
	})
}

// TestBeat5AHeldRowKeepsNoOtherWaiting has the probes of many held rows take all the time
// that there is.
func TestBeat5AHeldRowKeepsNoOtherWaiting(t *testing.T) {
	inBubble(t, func(r *rig) {
		var held []*entry
		for range 4 {
			held = append(held, r.start(0))
		}
		r.run()
		r.at(time.Second)
		dead := r.start(0)
		r.beats(r.ctx, r.start(0), 15*time.Second)
		r.do(func() { r.hangs = held })
		r.at(165 * time.Second) // at 105 and 120 s there was time for four
		r.want(dead, lost)
		for _, e := range held {
			r.want(e, live)
		}
	})
}

// TestBeat5ALateProbeLeavesTimeForABeat: a store may be so slow that an attempt is
// probed only when its window is over.
func TestBeat5ALateProbeLeavesTimeForABeat(t *testing.T) {
	cfg, err := Config{}.complete()
	if err != nil {
		t.Fatal(err)
	}
	const since, over = time.Hour, time.Hour + DefaultSilence
	for _, c := range []struct {
		written, now time.Duration
		want         bool
	}{
		{0, over + time.Hour, false},
		{over - DefaultSilence/4, over - time.Second, false},
		{over - DefaultSilence/4, over, true},
		{over, over + time.Second, false},
		{over, over + DefaultSilence/4, true},
	} {
		p := pulse{seen: seen{state: domain.TaskStateRunning}, since: since, written: c.written}
		if got := p.silent(c.now, &cfg); got != c.want {
			t.Errorf("written %v and looked at %v before and after the end of its window: %v", over-c.written, c.now-over, got)
		}
	}
}
