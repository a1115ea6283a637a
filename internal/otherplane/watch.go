package otherplane

import (
	"context"
	"log/slog"
	"sync"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// fewest are too few for their silence to say anything of this side.
const fewest = 12

// watch ends attempts that are silent, by the monotonic clock of one observer who has
// looked at them without a break.
type watch struct {
	s         *service
	lostAfter time.Duration
	sights    map[*attempt]sight
	alarm     bool
	stopOnce  func()
	ended     chan struct{}
}

type sight struct {
	stamp time.Time // the attempt's last sign of life, as it was seen
	since time.Time // by our own clock
}

// watching begins a watch.
func watching(s *service, lostAfter time.Duration) *watch {
	ended := make(chan struct{})
	w := &watch{
		s: s, lostAfter: lostAfter, sights: map[*attempt]sight{},
		ended: ended, stopOnce: sync.OnceFunc(func() { close(ended) }),
	}
	go w.run()
	return w
}

func (w *watch) stop() { w.stopOnce() }

func (w *watch) run() {
	tick := time.NewTicker(min(max(w.lostAfter/16, 20*time.Millisecond), 5*time.Second))
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-tick.C:
		case <-w.ended:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), w.lostAfter/2)
		err := w.s.do(ctx, func(st *store) error {
			if time.Since(last) > w.lostAfter/2 {
				clear(w.sights) // it was the observer who slept
			}
			w.look(st)
			return nil
		})
		cancel()
		if err != nil {
			clear(w.sights) // nobody's beat could be stored
		}
		last = time.Now()
	}
}

// look sees every attempt that is to beat, and ends those that have been silent.
func (w *watch) look(st *store) {
	now := time.Now()
	seen := map[*attempt]sight{}
	var silent []*attempt
	nearly := 0
	st.each(func(a *attempt) {
		if a.superseded() || a.settled() {
			return
		}
		before, known := w.sights[a]
		if !known || !before.stamp.Equal(a.beat) {
			before = sight{stamp: a.beat, since: now}
		}
		seen[a] = before
		age := now.Sub(before.since)
		if age >= w.lostAfter {
			silent = append(silent, a)
		}
		if age >= w.lostAfter*3/4 {
			nearly++
		}
	})
	w.sights = seen
	most := len(seen) >= fewest && nearly*2 > len(seen)
	switch {
	case most && !w.alarm:
		slog.Error("most attempts are silent: is it us?", "silent", nearly, "of", len(seen))
	case !most && w.alarm:
		clear(w.sights) // what was silence until now was ours
	case !most:
		for _, a := range silent {
			a.lost(w.s.plane.clock.now())
		}
	}
	w.alarm = most
}

func (a *attempt) lost(now time.Time) {
	a.state, a.cause, a.ended = policyv1.TaskState_TASK_STATE_FAILED, controlv1.Cause_CAUSE_LOST, now
	a.message = "Nothing was heard of it: " + agentv1.TerminationReason_TERMINATION_REASON_LOST.String()
}

// each visits all attempts.
func (st *store) each(visit func(*attempt)) {
	for _, t := range st.tenants {
		for _, r := range t.runs {
			for _, one := range r.tasks {
				for _, a := range one.tries {
					visit(a)
				}
			}
		}
	}
}
