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

// seen is what a look saw of an attempt, and no more than a reaper needs: there may be very
// many.
type seen struct {
	name
	state                            domain.TaskState
	timeout                          time.Duration
	started, beat, cancelled, stopBy moment
}

// moment is a time in nanoseconds since 1970; 0: none.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixNano())
}

// since is the time from another moment to this one.
func (m moment) since(other moment) time.Duration { return time.Duration(m - other) }

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m)).UTC()
}

func seenOf(a *domain.Attempt) seen {
	return seen{
		name:  name{a.Ref.TenantID, a.Ref.TaskInstanceID, a.Ref.TryNumber},
		state: a.State, timeout: a.Timeout,
		started: momentOf(a.StartedAt), beat: momentOf(a.HeartbeatAt),
		cancelled: momentOf(a.CancelRequestedAt), stopBy: momentOf(a.StopBy),
	}
}

// ref is the name as the store has it.
func (n name) ref() domain.AttemptRef {
	return domain.AttemptRef{TenantID: n.tenant, TaskInstanceID: n.instance, TryNumber: n.try}
}

// attempt is the attempt as it was seen.
func (s *seen) attempt() domain.Attempt {
	return domain.Attempt{
		Ref:   s.ref(),
		State: s.state, Timeout: s.timeout,
		StartedAt: s.started.time(), HeartbeatAt: s.beat.time(),
		CancelRequestedAt: s.cancelled.time(), StopBy: s.stopBy.time(),
	}
}

// pulse is what is known of a live attempt. Durations are times by the monotonic clock.
type pulse struct {
	seen       // at the last look
	registered bool
	hearsay    uint64        // of a beat that was not stored; 0: there was none
	heard      bool          // it gave a sign of life since the first look, or came after it
	since      time.Duration // nothing moved from then on
	tried      time.Duration // its row was probed last then; 0: not yet
	written    time.Duration // and something could have: its row was written then; 0: not yet
	runsFrom   time.Duration // when it began to run
	stopsAt    time.Duration // the deadline of its cancel
}

// startWindows is how many windows of silence an attempt may take from its agent's
// coming to its first beat. Deployed agents beat only once the task runs, and before
// that they fetch its inputs, each call of which may wait for the server.
const startWindows = 10

// beats reports whether the attempt should beat: its task runs, or it has beaten.
func (p *pulse) beats() bool {
	return p.state == domain.TaskStateRunning || p.beat != 0
}

// starting reports whether an agent came for the attempt, and need not beat yet.
func (p *pulse) starting() bool { return p.registered && !p.beats() }

// moved reports whether the attempt gave a sign of life since before.
func (p *pulse) moved(before *pulse) bool {
	return p.state != before.state || p.registered != before.registered || p.beat != before.beat ||
		p.hearsay != before.hearsay
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
		before := w.pulses[p.name]
		p.since = l.known
		if before != nil && p.hearsay == 0 { // that it is told no more, or again, is no beat
			p.hearsay = before.hearsay
		}
		if before != nil && !w.anew && !p.moved(before) {
			p.since, p.tried, p.written = before.since, before.tried, before.written
		}
		p.heard = before == nil && w.read || before != nil && (before.heard || p.moved(before))
		w.convert(p, before, l)
		pulses[p.name] = p
	}
	w.pulses, w.anew = pulses, false
	w.read, w.readAt = true, l.begun
}

// convert tells the attempt's wall clock times by the monotonic clock, once: from
// then on a step of the wall clock does not move them. What the last look did not
// see happened after it, whatever the wall clock says.
func (w *watch) convert(p, before *pulse, l look) {
	wall := momentOf(l.wall)
	at := func(m moment, earliest time.Duration) time.Duration {
		d := l.begun + m.since(wall)
		if w.read {
			d = max(d, earliest)
		}
		return d
	}
	switch {
	case p.started == 0:
	case before != nil && before.started == p.started:
		p.runsFrom = before.runsFrom
	default:
		p.runsFrom = min(at(p.started, w.readAt), l.known)
	}
	switch {
	case p.stopBy == 0:
	case before != nil && before.stopBy == p.stopBy:
		p.stopsAt = before.stopsAt
	case before != nil && before.stopBy != 0: // brought forward
		p.stopsAt = min(at(p.stopBy, w.readAt), before.stopsAt)
	default:
		within := p.stopBy.since(p.cancelled)
		p.stopsAt = min(at(p.stopBy, w.readAt+within), l.known+within)
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
	return p.stopBy != 0 && now >= p.stopsAt+cfg.Grace
}

// over reports whether the attempt must be settled at now, and why.
func (p *pulse) over(now time.Duration, cfg *Config) (domain.Cause, bool) {
	switch quiet := now - p.since; {
	// Whose agent may be gone gets no grace: it was asked to stop, and that is why it ends.
	case p.pastGrace(now, cfg), p.stopBy != 0 && now >= p.stopsAt && p.silent(now, cfg):
		return domain.CauseCancelled, true
	case p.state == domain.TaskStateRunning && p.timeout > 0 && now >= p.runsFrom+p.timeout+cfg.Grace:
		return domain.CauseTimedOut, true
	case p.silent(now, cfg):
		return domain.CauseLost, true
	case !p.beats() && !p.starting() && quiet >= cfg.Queue:
		return domain.CauseLaunchFailed, true
	}
	return "", false
}
