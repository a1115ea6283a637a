package reaper

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// The tests know the defaults: a window of 120 s, a look every 15 s.
const (
	lost = domain.CauseLost
	live = domain.CauseNone
)

func TestBeat5SilentIsLostAfterTheWholeWindow(t *testing.T) {
	inBubble(t, func(r *rig) {
		never, once := r.start(0), r.start(0)
		r.run()
		r.at(10 * time.Second)
		r.beat(once) // seen by the look at 15 s
		r.at(120*time.Second - 1)
		r.want(never, live)
		r.at(120 * time.Second)
		r.want(never, lost)
		r.at(135*time.Second - 1)
		r.want(once, live)
		r.at(135 * time.Second)
		r.want(once, lost)
		if once.Message == "" || r.metric("leoflow_reaper_settled_total") != 2 || r.metric("leoflow_reaper_interruptions_total") != 0 {
			t.Errorf("settled %v, interrupted %v, message %q", r.metric("leoflow_reaper_settled_total"),
				r.metric("leoflow_reaper_interruptions_total"), once.Message)
		}
		r.at(150 * time.Second)
		r.stop()
		if n := len(r.reaper.watch.pulses); n != 0 {
			t.Errorf("%d settled attempts are remembered", n)
		}
	})
}

func TestBeat5OneThatBeatsIsNeverLost(t *testing.T) {
	inBubble(t, func(r *rig) {
		often, seldom, silent := r.start(0), r.start(0), r.start(0)
		r.beats(r.ctx, often, 15*time.Second)
		r.beats(r.ctx, seldom, 119*time.Second)
		r.run()
		r.at(24 * time.Hour)
		r.want(often, live)
		r.want(seldom, live)
		r.want(silent, lost)
	})
}

func TestBeat5AReportIsASignOfLife(t *testing.T) {
	inBubble(t, func(r *rig) {
		e := r.launch("t")
		r.do(func() { e.registered = true })
		r.run()
		r.at(100 * time.Second)
		r.do(func() { e.State, e.StartedAt = domain.TaskStateRunning, r.time() })
		r.at(224 * time.Second) // seen at 105 s
		r.want(e, live)
		r.at(225 * time.Second)
		r.want(e, lost)
	})
}

func TestBeat5RestartIsNotSilence(t *testing.T) {
	inBubble(t, func(r *rig) {
		e := r.start(0)
		r.run()
		r.at(119 * time.Second)
		r.stop()
		r.run()
		r.at(239*time.Second - 1)
		r.want(e, live)
		r.at(239 * time.Second)
		r.want(e, lost)
	})
}

func TestBeat5StoreOutageIsNotSilence(t *testing.T) {
	down := fmt.Errorf("%w: down", domain.ErrUnavailable)
	for name, set := range map[string]func(*fake, error){
		"read":  func(f *fake, err error) { f.reads = err },
		"write": func(f *fake, err error) { f.writes = err },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				e := r.start(0)
				r.run()
				r.at(100 * time.Second)
				r.do(func() { set(r.fake, down) })
				r.at(119 * time.Second) // the look at 105 s fails
				r.do(func() { set(r.fake, nil) })
				r.at(240*time.Second - 1)
				r.want(e, live)
				r.at(240 * time.Second)
				r.want(e, lost)
				if n := r.metric("leoflow_reaper_interruptions_total"); n != 1 {
					t.Errorf("interrupted %v times", n)
				}
			})
		})
	}
}

func TestBeat5OutageWhileSettlingIsNotSilence(t *testing.T) {
	inBubble(t, func(r *rig) {
		e := r.start(0)
		r.onReap = func(domain.Attempt) error { return fmt.Errorf("%w: busy", domain.ErrUnavailable) }
		r.run()
		r.at(121 * time.Second)
		r.do(func() { r.onReap = nil })
		r.at(255*time.Second - 1)
		r.want(e, live)
		r.at(255 * time.Second)
		r.want(e, lost)
	})
}

func TestBeat5ClockStepIsNotSilence(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 5 * time.Second} {
		t.Run(step.String(), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				e := r.start(0)
				r.run()
				r.at(100 * time.Second)
				r.do(func() { r.step = step }) // noticed at 105 s
				r.at(225*time.Second - 1)
				r.want(e, live)
				r.at(225 * time.Second)
				r.want(e, lost)
			})
		})
	}
}

// TestBeat5ALookThatCameLateIsNotSilence: a process that did not run heard no beats.
func TestBeat5ALookThatCameLateIsNotSilence(t *testing.T) {
	inBubble(t, func(r *rig) {
		first, second := r.start(0), r.start(0)
		r.onReap = func(a domain.Attempt) error {
			if a.Ref == first.Ref {
				<-time.After(100 * time.Second) // from 120 s
			}
			return nil
		}
		r.run()
		r.at(29 * time.Second)
		r.beat(second)
		r.at(340*time.Second - 1)
		r.want(second, live)
		r.at(345 * time.Second)
		r.want(second, lost)
	})
}

// TestBeat5ASlowLookSeesAtItsEnd: a beat may come while a look reads.
func TestBeat5ASlowLookSeesAtItsEnd(t *testing.T) {
	inBubble(t, func(r *rig) {
		e, reads := r.start(0), 0
		r.onRead = func() {
			if reads++; reads == 1 {
				<-time.After(10 * time.Second)
				r.beat(e)
			}
		}
		r.run()
		r.at(130*time.Second - 1)
		r.want(e, live)
		r.at(135 * time.Second)
		r.want(e, lost)
	})
}

func TestBeat5ABeatThatComesBetweenWins(t *testing.T) {
	inBubble(t, func(r *rig) {
		e := r.start(0)
		var tried atomic.Int32
		r.onReap = func(domain.Attempt) error {
			if tried.Add(1) == 1 {
				r.beat(e)
			}
			return nil
		}
		r.run()
		r.at(254 * time.Second) // the beat is seen at 135 s
		r.want(e, live)
		if n := tried.Load(); n != 1 {
			t.Errorf("tried %d times", n)
		}
		r.at(255 * time.Second)
		r.want(e, lost)
	})
}

func TestBeat5TwoReapersSettleOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		var silent []*entry
		for range 9 {
			silent = append(silent, r.start(0))
		}
		r.run()
		r.run()
		r.at(time.Hour)
		for _, e := range silent {
			r.want(e, lost)
			if e.settled != 1 {
				t.Errorf("settled %d times", e.settled)
			}
		}
	})
}

func TestBeat5OneThatCannotBeSettledStopsNoOther(t *testing.T) {
	inBubble(t, func(r *rig) {
		poisoned, other := r.start(0), r.start(0)
		r.onReap = func(a domain.Attempt) error {
			if a.Ref == poisoned.Ref {
				return errors.New("malformed")
			}
			return nil
		}
		r.run()
		r.at(121 * time.Second)
		r.want(poisoned, live)
		r.want(other, lost)
	})
}

// TestBeat5EachIsSettledUnderItsTenant: the fake refuses any other.
func TestBeat5EachIsSettledUnderItsTenant(t *testing.T) {
	inBubble(t, func(r *rig) {
		inA, inB := r.launch("a"), r.launch("b")
		r.do(func() { inA.registered, inB.registered = true, true })
		r.run()
		r.at(20*time.Minute + time.Second)
		r.want(inA, lost)
		r.want(inB, lost)
	})
}
