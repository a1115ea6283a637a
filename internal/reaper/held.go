package reaper

import (
	"context"
	"errors"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// patience is for how long the attempt's agent may be silent; 0: it has no reason to
// speak.
func (p *pulse) patience(cfg *Config) time.Duration {
	switch {
	case p.beats():
		return cfg.Silence
	case p.starting():
		return startWindows * cfg.Silence
	}
	return 0
}

// probe holds that attempts which will soon have been silent for too long could have
// been heard: that their rows can be written, with a quarter of a window left for the
// next beats to come ([pulse.silent] wants most of that). One whose row another
// transaction has is observed anew.
func (r *Reaper) probe(ctx context.Context) {
	if r.watch.alarm { // nobody is settled, and all are observed anew when it ends
		return
	}
	limited, cancel := context.WithTimeout(ctx, r.every/2)
	defer cancel()
	for _, p := range r.watch.pulses {
		patience := p.patience(&r.cfg)
		if p.written > 0 || patience == 0 || r.mono()-p.since < patience-r.cfg.Silence/4 {
			continue
		}
		ref := p.attempt().Ref
		err := r.probeOne(limited, ref)
		switch {
		case limited.Err() != nil: // the rest is for the next look
			return
		case err == nil || errors.Is(err, domain.ErrUnknown):
			p.written = r.mono()
		default:
			p.anew(r.mono())
			r.cfg.Logger.WarnContext(ctx, "an attempt cannot be written: its silence is observed anew",
				"tenant", ref.TenantID, "task_instance_id", ref.TaskInstanceID, "try", ref.TryNumber, "error", err)
		}
	}
}

func (r *Reaper) probeOne(ctx context.Context, ref domain.AttemptRef) error {
	ctx, cancel := context.WithTimeout(domain.WithTenant(ctx, ref.TenantID), r.every/4)
	defer cancel()
	return r.store.ProbeWrite(ctx, ref)
}

// anew has the observation of the attempt begin at a time.
func (p *pulse) anew(at time.Duration) { p.since, p.written = at, 0 }
