package agentrpc

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/interceptor"
)

// definitiveWithin is how long a heartbeat waits for the store's word (BEAT-2).
const definitiveWithin = 2 * time.Second

// Heartbeat moves the attempt's liveness stamp (BEAT-1) and tells a definitive "not
// live" with its reason (BEAT-3). With a definitive "live" it may bring a renewed
// token (TOKEN-1). Whatever the store does, a heartbeat does not fail and neither
// asks for termination nor renews without the store's word (BEAT-2).
func (s *Server) Heartbeat(ctx context.Context, req *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	return unary(ctx, s, agentv1.AgentService_Heartbeat_FullMethodName, req, nil, (*Server).heartbeat)
}

func (s *Server) heartbeat(ctx context.Context, id auth.AgentIdentity, _ *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	verdict := s.ask(ctx, id)
	if verdict.fault != nil {
		return nil, verdict.fault
	}
	now := s.now()
	resp := &agentv1.HeartbeatResponse{ServerTime: timestamppb.New(now), BeatInterval: s.every}
	reason, ended := domain.TerminationOf(verdict.err)
	switch {
	case ended:
		resp.ShouldTerminate = true
		resp.Reason = reasonToProto[reason]
		if !verdict.stopBy.IsZero() {
			resp.StopBy = timestamppb.New(verdict.stopBy)
		}
	case verdict.err != nil:
		if s.hearsay != nil {
			s.hearsay.Heard(id.Attempt())
		}
		s.guard.Log().WarnContext(ctx, "heartbeat not recorded",
			"task_instance_id", id.TaskInstanceID, "try_number", id.TryNumber, "cause", verdict.err.Error())
	case !verdict.shared:
		resp.RenewedToken = s.renewed(ctx, id, now)
	}
	return resp, nil
}

// ask asks the store, promptly where it can, and aside where that decides nothing: both
// together within the time that there is for its word.
func (s *Server) ask(ctx context.Context, id auth.AgentIdentity) verdict {
	until := s.beats.until(time.Now())
	if v, decided := s.askPromptly(ctx, id, until); decided {
		return v
	}
	ctx, cancel := context.WithDeadline(ctx, until.at)
	defer cancel()
	return s.beats.record(ctx, id, s.lookAt)
}

// askPromptly asks a store that keeps to the time it is given. That the caller is gone does
// not end the question: the attempt has beaten all the same.
func (s *Server) askPromptly(ctx context.Context, id auth.AgentIdentity, until *deadline) (_ verdict, decided bool) {
	if s.prompt == nil {
		return verdict{}, false
	}
	decided, err := s.prompt.PromptHeartbeat(&bounded{context.WithoutCancel(ctx), until}, id)
	return verdict{err: err}, decided
}

// renewed returns a token to use instead of the presented one; empty: none is due,
// or none can be made, and the presented one works until its end.
func (s *Server) renewed(ctx context.Context, id auth.AgentIdentity, now time.Time) string {
	if s.renewer == nil || now.Before(interceptor.CallFrom(ctx).Undue()) {
		return ""
	}
	token, err := s.renewer.RenewAgent(presentedToken(ctx), id)
	if err != nil {
		s.guard.Log().WarnContext(ctx, "token not renewed",
			"task_instance_id", id.TaskInstanceID, "try_number", id.TryNumber, "cause", err.Error())
		return ""
	}
	return token
}

// presentedToken returns the token of a call that is authenticated: its form was
// checked on the way in.
func presentedToken(ctx context.Context) string {
	for _, value := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		_, token, _ := strings.Cut(value, " ")
		return token
	}
	return ""
}

// verdict is what the store says of an attempt that beats.
type verdict struct {
	err    error
	stopBy time.Time
	fault  error // the store panicked: no answer, and the call fails (ERR-2)
	// shared: another call asked, maybe before this one began. Enough to say that the
	// attempt lives or ended, not to renew a token on (TOKEN-1).
	shared bool
}

// lookAt records a beat and, for a cancelled attempt, reads its deadline (BEAT-6).
func (s *Server) lookAt(ctx context.Context, id auth.AgentIdentity) (v verdict) {
	// Logged here, for it may be that nobody waits for the answer any more.
	defer func() {
		if p := recover(); p != nil {
			v = verdict{fault: s.guard.Panicked(ctx, interceptor.CallFrom(ctx), p)}
		}
	}()
	v.err = s.lone(ctx, id)
	if s.cancels == nil || !errors.Is(v.err, domain.ErrCancelled) {
		return v
	}
	// The word is definitive already: its deadline must not make it come too late.
	ctx, cancel := context.WithTimeout(ctx, s.beats.wait/4)
	defer cancel()
	stopBy, pending, err := s.cancels.StopBy(ctx, id)
	if err != nil {
		s.guard.Log().WarnContext(ctx, "deadline of a cancel not read", "cause", err.Error())
	} else if pending {
		v.stopBy = stopBy
	}
	return v
}

var errNoAnswer = errors.New("the store gave no answer in time")

// beats runs the store's part of heartbeats aside, so that a store that hangs,
// heeding no context, holds up neither the call nor more than one goroutine an
// attempt. Beats of one attempt that overlap share one answer.
type beats struct {
	wait   time.Duration
	latest atomic.Pointer[deadline]
	mu     sync.Mutex
	flying map[auth.AgentIdentity]*flight
}

// flight is one question to the store.
type flight struct {
	done    chan struct{}
	verdict verdict // read after done
}

// record waits for the store's answer until ctx ends.
func (b *beats) record(ctx context.Context, id auth.AgentIdentity, look func(context.Context, auth.AgentIdentity) verdict) verdict {
	f, joined := b.join(ctx, id, look)
	select {
	case <-f.done:
		v := f.verdict
		v.shared = joined
		return v
	case <-ctx.Done():
		return verdict{err: errNoAnswer}
	}
}

// join returns the attempt's question under way, or asks it. joined: it was under way.
func (b *beats) join(ctx context.Context, id auth.AgentIdentity, look func(context.Context, auth.AgentIdentity) verdict) (f *flight, joined bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f, ok := b.flying[id]; ok {
		return f, true
	}
	if b.flying == nil {
		b.flying = map[auth.AgentIdentity]*flight{}
	}
	f = &flight{done: make(chan struct{})}
	b.flying[id] = f
	// The answer is shared, so one caller's end does not end the question.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.wait)
	go func() {
		defer cancel()
		v := look(ctx, id)
		b.mu.Lock()
		delete(b.flying, id)
		b.mu.Unlock()
		f.verdict = v
		close(f.done)
	}()
	return f, false
}
