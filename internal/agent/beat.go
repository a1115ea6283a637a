package agent

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// termination says that the attempt may not go on, and why.
type termination struct {
	reason agentv1.TerminationReason
	stopBy time.Time // zero: no time was named
	// refused: the control plane takes no heartbeat of this agent any more.
	refused bool
}

// reported reports whether an attempt that ends for this reason still tells how the
// task ended. Where another attempt or an outcome has taken its place, it just ends
// (A-BEAT-2). A control plane that gives no reason is told: a report against a
// settled outcome changes nothing (STATE-4).
func (t termination) reported() bool {
	switch t.reason {
	case agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED,
		agentv1.TerminationReason_TERMINATION_REASON_FINISHED,
		agentv1.TerminationReason_TERMINATION_REASON_LOST,
		agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN:
		return false
	default:
		return true
	}
}

func (t termination) String() string {
	if t.refused {
		return "the control plane refuses this agent's heartbeats"
	}
	switch t.reason {
	case agentv1.TerminationReason_TERMINATION_REASON_CANCELLED:
		return "cancelled"
	case agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED:
		return "a newer attempt of the task began"
	case agentv1.TerminationReason_TERMINATION_REASON_FINISHED:
		return "the attempt has its outcome already"
	case agentv1.TerminationReason_TERMINATION_REASON_LOST:
		return "the attempt was given up as lost"
	case agentv1.TerminationReason_TERMINATION_REASON_TIMED_OUT:
		return "the attempt ran for too long"
	case agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN:
		return "the control plane knows no such attempt"
	default:
		return "the control plane asked to stop"
	}
}

// beats are an attempt's heartbeats, from its registration until its outcome is
// acknowledged. Its contexts and its word are there once it is started.
type beats struct {
	attempt *attempt
	cancel  context.CancelFunc // nil: not started
	done    chan struct{}
	told    chan struct{} // closed when the control plane first said that the attempt may not go on
	why     termination   // valid once told is closed

	live   context.Context //nolint:containedctx // ends with the agent's, and once told
	wanted context.Context //nolint:containedctx // likewise, but only once no report is wanted
}

// start begins them.
func (b *beats) start(ctx context.Context) {
	live, notLive := context.WithCancel(ctx)
	wanted, unwanted := context.WithCancel(ctx)
	beating, end := context.WithCancel(context.WithoutCancel(ctx))
	b.live, b.wanted = live, wanted
	b.done, b.told = make(chan struct{}), make(chan struct{})
	b.cancel = func() { end(); notLive(); unwanted() }
	go func() {
		defer close(b.done)
		b.attempt.beat(beating, func(t termination) {
			if b.over() { // the first word counts
				return
			}
			b.why = t
			close(b.told)
			notLive()
			if !t.reported() {
				unwanted()
			}
		})
	}()
}

// over reports whether the control plane has said that the attempt may not go on.
func (b *beats) over() bool {
	select {
	case <-b.told:
		return true
	default:
		return false
	}
}

// pointless reports whether it has said so, and wants to hear no more about it.
func (b *beats) pointless() bool { return b.over() && !b.why.reported() }

// stop ends them; without effect when they never began.
func (b *beats) stop() {
	if b.cancel != nil {
		b.cancel()
		<-b.done
	}
}

// beat sends heartbeats until ctx is done, the first at once, each with a deadline of
// its own, and goes on when one fails (A-BEAT-1), and after a termination, while the
// task is being stopped.
func (a *attempt) beat(ctx context.Context, terminate func(termination)) {
	interval, failed, refusals := a.pace.beat, 0, 0
	for {
		began := time.Now()
		reply, err := a.heartbeat(ctx, interval)
		if ctx.Err() != nil {
			return
		}
		var told termination
		if err != nil {
			if failed++; failed == 1 {
				a.log.Warn("a heartbeat failed", "error", err)
			}
			refusals++
			if !refused(err) {
				refusals = 0
			}
			told.refused = refusals >= a.pace.refusedBeats
		} else {
			if failed > 0 {
				a.log.Info("heartbeats are answered again", "failed", failed)
			}
			failed, refusals = 0, 0
			interval = a.interval(reply, interval)
			told = a.heed(reply)
		}
		if told.refused || reply.GetShouldTerminate() {
			terminate(told)
		}
		if !pause(ctx, interval-time.Since(began)) {
			return
		}
	}
}

func (a *attempt) heartbeat(ctx context.Context, interval time.Duration) (*agentv1.HeartbeatResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, max(a.pace.minTry, min(a.pace.maxTry, interval)))
	defer cancel()
	return a.client.Heartbeat(ctx, &agentv1.HeartbeatRequest{SentAt: timestamppb.Now()})
}

// interval returns how long to wait between heartbeats: what was asked last, within reason.
func (a *attempt) interval(reply *agentv1.HeartbeatResponse, last time.Duration) time.Duration {
	asked := reply.GetBeatInterval()
	if !asked.IsValid() || asked.AsDuration() <= 0 {
		return last
	}
	return min(max(asked.AsDuration(), a.pace.minBeat), a.pace.maxBeat)
}

// heed takes a renewed token into use (A-BEAT-3), or reads why the attempt may not go on.
func (a *attempt) heed(reply *agentv1.HeartbeatResponse) termination {
	if !reply.GetShouldTerminate() {
		if token := reply.GetRenewedToken(); token != "" {
			a.token.renew(token)
		}
		return termination{}
	}
	t := termination{reason: reply.GetReason()}
	if by := reply.GetStopBy(); by.IsValid() {
		t.stopBy = a.localTime(reply, by)
	}
	return t
}

// localTime returns a time of the server's clock by the agent's own.
func (a *attempt) localTime(reply *agentv1.HeartbeatResponse, at *timestamppb.Timestamp) time.Time {
	if server := reply.GetServerTime(); server.IsValid() {
		return time.Now().Add(at.AsTime().Sub(server.AsTime()))
	}
	return at.AsTime()
}
