package reaper

import (
	"cmp"
	"context"
	"errors"
	"slices"
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
// next beats to come ([pulse.silent] wants most of that). What another transaction has,
// or a slow disk, cannot be told apart: it is probed again at the next look, and not
// silent before that has succeeded.
func (r *Reaper) probe(ctx context.Context) {
	if r.watch.alarm { // nobody is settled, and all are observed anew when it ends
		return
	}
	limited, cancel := context.WithTimeout(ctx, r.every/2)
	defer cancel()
	for _, p := range r.unprobed() {
		ref := p.attempt().Ref
		err := r.probeOne(limited, ref)
		switch {
		case limited.Err() != nil: // the rest is for the next look
			p.tried = r.mono()
			return
		case err == nil || errors.Is(err, domain.ErrUnknown):
			p.written = r.mono()
		case p.tried == 0:
			r.cfg.Logger.WarnContext(ctx, "an attempt cannot be written: it is not silent until it can",
				"tenant", ref.TenantID, "task_instance_id", ref.TaskInstanceID, "try", ref.TryNumber, "error", err)
		}
		p.tried = r.mono()
	}
}

// unprobed are the attempts to probe, those first whose last probe is longest ago: one
// that cannot be written keeps no other waiting.
func (r *Reaper) unprobed() (out []*pulse) {
	for _, p := range r.watch.pulses {
		patience := p.patience(&r.cfg)
		if p.written == 0 && patience > 0 && r.mono()-p.since >= patience-r.cfg.Silence/4 {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *pulse) int { return cmp.Compare(a.tried, b.tried) })
	return out
}

func (r *Reaper) probeOne(ctx context.Context, ref domain.AttemptRef) error {
	ctx, cancel := context.WithTimeout(domain.WithTenant(ctx, ref.TenantID), r.every/4)
	defer cancel()
	return r.store.ProbeWrite(ctx, ref)
}

// anew has the observation of the attempt begin at a time.
func (p *pulse) anew(at time.Duration) { p.since, p.tried, p.written = at, 0, 0 }
