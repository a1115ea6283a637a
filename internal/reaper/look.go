package reaper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

const (
	// maxSettled bounds one look, which must end before the next is late.
	maxSettled = 500
	// clockTolerance is by how much the wall clock may differ from the monotonic one
	// between two looks: slewing stays far below.
	clockTolerance = 2 * time.Second
)

// look reads the live attempts and settles those that are over.
func (r *Reaper) look(ctx context.Context) {
	l := look{begun: r.mono(), wall: r.cfg.Wall().Round(0)}
	r.checkClocks(ctx, l)
	err := r.read(ctx, &l)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.interrupt(ctx, interruptedStore, "error", err)
		return
	}
	if err := r.listen(l.pulses); err != nil { // nobody is silent, and some may be over all the same
		r.interrupt(ctx, interruptedHearsay, "error", err)
	}
	r.watch.take(l)
	r.probe(ctx)
	over, most := r.watch.judge(l.begun, &r.cfg)
	if most != r.watch.alarm {
		r.switchAlarm(ctx, most)
		if !most {
			return
		}
	}
	if !most {
		r.settle(ctx, over)
	}
}

// checkClocks begins anew where somebody set the wall clock, or where this process
// did not run: it may not have heard the beats.
func (r *Reaper) checkClocks(ctx context.Context, l look) {
	w := &r.watch
	if w.looked {
		gone := l.begun - w.mono
		step := l.wall.Sub(w.wall) - gone
		switch {
		case step.Abs() > clockTolerance:
			r.interrupt(ctx, interruptedClock, "step", step)
		case gone > 2*r.every:
			r.interrupt(ctx, interruptedLate, "after", gone)
		}
	}
	w.looked, w.mono, w.wall = true, l.begun, l.wall
}

// read fills l and holds that the store can be written. Where no attempt is live
// there is nothing to observe, and nothing is written.
func (r *Reaper) read(ctx context.Context, l *look) error {
	ctx, cancel := context.WithTimeout(ctx, r.every)
	defer cancel()
	l.pulses = make([]pulse, 0, len(r.watch.pulses))
	from, err := r.store.LiveAttempts(ctx, r.watch.from, func(a domain.Attempt, registered bool) {
		l.pulses = append(l.pulses, pulse{seen: seenOf(&a), registered: registered})
	})
	if err != nil {
		return err
	}
	l.known = r.mono()
	r.metrics.reading.Observe((l.known - l.begun).Seconds())
	r.watch.from = from
	if len(l.pulses) == 0 {
		return nil
	}
	ref := l.pulses[0].attempt().Ref
	if err := r.store.ProbeWrite(domain.WithTenant(ctx, ref.TenantID), ref); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// listen adds what was heard of the attempts and not stored.
func (r *Reaper) listen(pulses []pulse) error {
	if r.cfg.Hearsay == nil {
		return nil
	}
	heard, err := r.cfg.Hearsay.All()
	if err != nil || len(heard) == 0 {
		return err
	}
	for i := range pulses {
		pulses[i].hearsay = heard[pulses[i].ref()]
	}
	return nil
}

// interrupt lets every observation begin anew with the next look that succeeds.
func (r *Reaper) interrupt(ctx context.Context, reason string, args ...any) {
	r.watch.anew = true
	r.metrics.interruptions.WithLabelValues(reason).Inc()
	r.cfg.Logger.WarnContext(ctx, "silence is observed anew", append([]any{"reason", reason}, args...)...)
}

// switchAlarm begins or ends the time in which nothing is reaped. At its end every
// attempt gets a whole window to be heard again.
func (r *Reaper) switchAlarm(ctx context.Context, on bool) {
	r.watch.alarm = on
	if on {
		r.metrics.alarms.Inc()
		r.metrics.alarm.Set(1)
		r.cfg.Logger.ErrorContext(ctx, "most attempts are silent at once: nothing is reaped until that is over; "+
			"look at the network between the agents and this server", "live", len(r.watch.pulses))
		return
	}
	r.metrics.alarm.Set(0)
	r.interrupt(ctx, interruptedAlarm)
}

// settle settles attempts, each under its own tenant. What fails or is left over is
// tried again at a later look.
func (r *Reaper) settle(ctx context.Context, over []due) {
	limited, cancel := context.WithTimeout(ctx, r.every)
	defer cancel()
	for _, d := range over[:min(len(over), maxSettled)] {
		a := d.pulse.attempt()
		ref := a.Ref
		args := []any{"tenant", ref.TenantID, "task_instance_id", ref.TaskInstanceID, "try", ref.TryNumber, "cause", d.cause}
		if d.cause == domain.CauseCancelled && !d.silent {
			a.HeartbeatAt = time.Time{} // a beat saves it no more
		}
		settled, err := r.store.ReapAttempt(domain.WithTenant(limited, ref.TenantID), a, d.cause, r.message(d))
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, domain.ErrUnavailable):
			r.interrupt(ctx, interruptedStore, "error", err)
			return
		case err != nil: // of this attempt alone, if the next probe succeeds
			r.cfg.Logger.ErrorContext(ctx, "an attempt that is over was not settled", append(args, "error", err)...)
		case !settled && d.silent: // it moved, or another transaction has it, and it could not be heard
			d.pulse.anew(r.mono())
		case !settled: // no sign of life would have saved it: the next look tries again
		default:
			r.metrics.settled.WithLabelValues(string(d.cause)).Inc()
			r.cfg.Logger.WarnContext(ctx, "attempt settled", args...)
		}
	}
}

// message says to people why an attempt was settled.
func (r *Reaper) message(d due) string {
	switch d.cause {
	case domain.CauseCancelled:
		if d.silent {
			return fmt.Sprintf("its agent was silent for %v, and the deadline of its cancel is over", r.cfg.Silence)
		}
	case domain.CauseLost:
		return fmt.Sprintf("its agent was silent for %v", r.cfg.Silence)
	case domain.CauseLaunchFailed:
		return fmt.Sprintf("no agent came for it within %v", r.cfg.Queue)
	case domain.CauseTimedOut:
		return fmt.Sprintf("it ran %v longer than its time-out of %v", r.cfg.Grace, d.pulse.timeout)
	}
	return fmt.Sprintf("it did not stop within %v after the deadline of its cancel", r.cfg.Grace)
}
