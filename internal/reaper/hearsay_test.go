package reaper

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// rumours is what a fake store's other servers heard.
type rumours struct {
	*fake
	numbers map[domain.AttemptRef]uint64
	err     error
}

func (r *rumours) All() (out map[domain.AttemptRef]uint64, err error) {
	r.do(func() {
		out = map[domain.AttemptRef]uint64{}
		for ref, number := range r.numbers {
			out[ref] = number
		}
		err = r.err
	})
	return out, err
}

// hears has an attempt be heard elsewhere until ctx ends.
func (r *rumours) hears(ctx context.Context, e *entry) {
	go repeat(ctx, 15*time.Second, func(context.Context) { r.do(func() { r.numbers[e.Ref] += 3 }) })
}

func (r *rig) rumours() *rumours {
	out := &rumours{fake: r.fake, numbers: map[domain.AttemptRef]uint64{}}
	r.hearsay = out
	return out
}

// TestBeat5WhoIsHeardElsewhereIsNotLost: each beat that others heard is a sign of life,
// though its stamp does not move; what they heard once and tell again is none, nor is that
// they tell it no more, or again after that.
func TestBeat5WhoIsHeardElsewhereIsNotLost(t *testing.T) {
	inBubble(t, func(r *rig) {
		others := r.rumours()
		heard, once, silent := r.start(0), r.start(0), r.start(0)
		ctx, stop := context.WithCancel(r.ctx)
		defer stop()
		r.do(func() { others.numbers[once.Ref] = 7 })
		r.run()
		others.hears(ctx, heard)
		r.at(80 * time.Second)
		r.do(func() { delete(others.numbers, once.Ref) })
		r.at(100 * time.Second)
		r.do(func() { others.numbers[once.Ref] = 7 })
		r.at(121 * time.Second)
		r.want(silent, lost)
		r.want(once, lost)
		r.at(time.Hour)
		r.want(heard, live)
		stop()
		r.at(time.Hour + 100*time.Second)
		r.want(heard, live)
		r.at(time.Hour + 151*time.Second)
		r.want(heard, lost)
	})
}

// TestBeat5NobodyIsLostWhileNobodyKnowsWhatOthersHeard, and then after a whole window. Who is over
// for another reason ends meanwhile.
func TestBeat5NobodyIsLostWhileNobodyKnowsWhatOthersHeard(t *testing.T) {
	inBubble(t, func(r *rig) {
		others := r.rumours()
		others.err = errors.New("permission denied")
		e, late := r.start(0), r.start(10*time.Minute)
		r.beats(r.ctx, late, 15*time.Second)
		r.run()
		r.at(time.Hour)
		r.want(e, live)
		r.want(late, domain.CauseTimedOut)
		if r.metric("leoflow_reaper_interruptions_total") < 10 {
			t.Error("it is not told")
		}
		r.do(func() { others.err = nil })
		r.at(time.Hour + 100*time.Second)
		r.want(e, live)
		r.at(time.Hour + 151*time.Second)
		r.want(e, lost)
	})
}
