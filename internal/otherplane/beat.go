package otherplane

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// beatPatience is how long a heartbeat waits for the store.
const beatPatience = 700 * time.Millisecond

// Heartbeat moves the stamp of the attempt, and tells whether it may go on. Without an
// answer of the store it says nothing of the attempt.
func (s *service) Heartbeat(ctx context.Context, _ *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	who := caller(ctx)
	within, cancel := context.WithTimeout(ctx, beatPatience)
	defer cancel()
	now := s.plane.clock.now()
	reply := &agentv1.HeartbeatResponse{BeatInterval: durationpb.New(s.interval())}
	var ceiling time.Time
	err := s.do(within, func(st *store) error {
		a := st.attempt(who.id)
		reply.Reason = a.notLive()
		switch reply.Reason {
		case agentv1.TerminationReason_TERMINATION_REASON_UNSPECIFIED:
			ceiling = a.launched.Add(s.plane.choices.Ceiling)
			a.beat = now
		case agentv1.TerminationReason_TERMINATION_REASON_CANCELLED:
			reply.StopBy = timestamppb.New(a.stopBy)
			a.beat = now
		}
		reply.ShouldTerminate = reply.Reason != agentv1.TerminationReason_TERMINATION_REASON_UNSPECIFIED
		return nil
	})
	if errors.Is(err, errKilled) {
		return nil, err
	}
	reply.ServerTime = timestamppb.New(s.plane.clock.now())
	if err == nil && !reply.GetShouldTerminate() && s.plane.choices.Renewal {
		reply.RenewedToken, err = s.renewed(who, now, ceiling)
		return reply, err
	}
	return reply, nil
}

// interval is how often to beat: never quite the same, lest all beat at once.
func (s *service) interval() time.Duration {
	every := s.plane.choices.BeatEvery
	return every - rand.N(every/10) //nolint:gosec // no secret
}

// renewed is a new token for who needs one; empty: they do not.
func (s *service) renewed(who *grant, now, ceiling time.Time) (string, error) {
	until := now.Add(s.plane.choices.TokenLife)
	if until.After(ceiling) {
		until = ceiling
	}
	if !who.due(now) || !until.After(who.until) {
		return "", nil
	}
	return s.plane.tokens.issue(grant{id: who.id, issued: now, until: until})
}
