package reaper

import (
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Silence of most attempts at once is an alarm: of at least leastForAlarm ones that
// should beat, half or more.
const leastForAlarm = 10

// name names an attempt among all tenants.
type name struct {
	tenant, instance string
	try              int
}

func nameOf(ref domain.AttemptRef) name {
	return name{ref.TenantID, ref.TaskInstanceID, ref.TryNumber}
}

// pulse is what is known of a live attempt. Durations are times by the monotonic clock.
type pulse struct {
	seen       domain.Attempt // at the last look
	registered bool
	heard      bool          // it gave a sign of life since the first look, or came after it
	since      time.Duration // nothing moved from then on
	written    time.Duration // and something could have: its row was written then; 0: not yet
	started    time.Duration // when it began to run
	stopBy     time.Duration // the deadline of its cancel
}

// startWindows is how many windows of silence an attempt may take from its agent's
// coming to its first beat. Deployed agents beat only once the task runs, and before
// that they fetch its inputs, each call of which may wait for the server.
const startWindows = 10

// beats reports whether the attempt should beat: its task runs, or it has beaten.
func (p *pulse) beats() bool {
	return p.seen.State == domain.TaskStateRunning || !p.seen.HeartbeatAt.IsZero()
}

// starting reports whether an agent came for the attempt, and need not beat yet.
func (p *pulse) starting() bool { return p.registered && !p.beats() }

// moved reports whether the attempt gave a sign of life since before.
func (p *pulse) moved(before *pulse) bool {
	return p.seen.State != before.seen.State || p.registered != before.registered ||
		!p.seen.HeartbeatAt.Equal(before.seen.HeartbeatAt)
}

// watch is the memory of a reaper: the live attempts, and the observation of them.
type watch struct {
	pulses map[name]*pulse
	from   int64 // where the next look begins to read
	anew   bool  // every observation begins at the next look
	alarm  bool

	looked bool          // there was a look at the clocks, at:
	mono   time.Duration // by the monotonic clock
	wall   time.Time     // by the wall clock

	read   bool          // there was a look that could read, at:
	readAt time.Duration // not before what it read
}

// look is what one look saw, and when: all of it was so between begun and known.
type look struct {
	begun, known time.Duration
	wall         time.Time // at begun
	pulses       []pulse
}

// take makes what was seen the watch's memory; what is not live any more is forgotten.
func (w *watch) take(l look) {
	pulses := make(map[name]*pulse, len(l.pulses))
	for i := range l.pulses {
		p := &l.pulses[i]
		before := w.pulses[nameOf(p.seen.Ref)]
		p.since = l.known
		if before != nil && !w.anew && !p.moved(before) {
			p.since, p.written = before.since, before.written
		}
		p.heard = before == nil && w.read || before != nil && (before.heard || p.moved(before))
		w.convert(p, before, l)
		pulses[nameOf(p.seen.Ref)] = p
	}
	w.pulses, w.anew = pulses, false
	w.read, w.readAt = true, l.begun
}

// convert tells the attempt's wall clock times by the monotonic clock, once: from
// then on a step of the wall clock does not move them. What the last look did not
// see happened after it, whatever the wall clock says.
func (w *watch) convert(p, before *pulse, l look) {
	at := func(t time.Time, earliest time.Duration) time.Duration {
		d := l.begun + t.Sub(l.wall)
		if w.read {
			d = max(d, earliest)
		}
		return d
	}
	switch {
	case p.seen.StartedAt.IsZero():
	case before != nil && before.seen.StartedAt.Equal(p.seen.StartedAt):
		p.started = before.started
	default:
		p.started = min(at(p.seen.StartedAt, w.readAt), l.known)
	}
	switch {
	case p.seen.StopBy.IsZero():
	case before != nil && before.seen.StopBy.Equal(p.seen.StopBy):
		p.stopBy = before.stopBy
	case before != nil && !before.seen.StopBy.IsZero(): // brought forward
		p.stopBy = min(at(p.seen.StopBy, w.readAt), before.stopBy)
	default:
		within := p.seen.StopBy.Sub(p.seen.CancelRequestedAt)
		p.stopBy = min(at(p.seen.StopBy, w.readAt+within), l.known+within)
	}
}

// due is an attempt to settle, and why.
type due struct {
	pulse  *pulse
	cause  domain.Cause
	silent bool // for a whole window, and it is over for no other reason
}

// judge returns which attempts are over at now, and whether so many of those that
// should beat are silent that none may be settled.
func (w *watch) judge(now time.Duration, cfg *Config) (over []due, most bool) {
	beating, quiet, silent := 0, 0, 0
	for _, p := range w.pulses {
		if p.beats() && (p.heard || !cfg.AlarmIgnoresUnheard) {
			beating++
			// They do not all fall due in one look: their beats are spread over an interval.
			if now-p.since >= cfg.Silence/2 {
				quiet++
			}
			if now-p.since >= cfg.Silence {
				silent++
			}
		}
		if cause, ok := p.over(now, cfg); ok {
			over = append(over, due{p, cause, p.silent(now, cfg) && !p.pastGrace(now, cfg)})
		}
	}
	return over, (silent > 0 || w.alarm) && beating >= leastForAlarm && 2*quiet >= beating
}

// silent reports whether the attempt's agent, which came, has been silent for too long.
func (p *pulse) silent(now time.Duration, cfg *Config) bool {
	patience := p.patience(cfg)
	return patience > 0 && now-p.since >= patience && p.written > 0 && now-p.written >= 3*cfg.Silence/16
}

// pastGrace reports whether the attempt has outlived the deadline of its cancel too far.
func (p *pulse) pastGrace(now time.Duration, cfg *Config) bool {
	return !p.seen.StopBy.IsZero() && now >= p.stopBy+cfg.Grace
}

// over reports whether the attempt must be settled at now, and why.
func (p *pulse) over(now time.Duration, cfg *Config) (domain.Cause, bool) {
	switch quiet := now - p.since; {
	// Whose agent may be gone gets no grace: it was asked to stop, and that is why it ends.
	case p.pastGrace(now, cfg), !p.seen.StopBy.IsZero() && now >= p.stopBy && p.silent(now, cfg):
		return domain.CauseCancelled, true
	case p.seen.State == domain.TaskStateRunning && p.seen.Timeout > 0 && now >= p.started+p.seen.Timeout+cfg.Grace:
		return domain.CauseTimedOut, true
	case p.silent(now, cfg):
		return domain.CauseLost, true
	case !p.beats() && !p.starting() && quiet >= cfg.Queue:
		return domain.CauseLaunchFailed, true
	}
	return "", false
}
