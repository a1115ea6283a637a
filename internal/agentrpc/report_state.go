package agentrpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
)

// reportWithin is how long a report waits for the store where the caller set no
// deadline (STATE-8): one that is away for a minute takes a while to come back.
const reportWithin = time.Minute + 15*time.Second

// ReportState stores a report durably before it acknowledges it (STATE-2, STATE-8).
// A report that comes too late changes nothing and is told to terminate (STATE-4).
func (s *Server) ReportState(ctx context.Context, req *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	return unary(ctx, s, agentv1.AgentService_ReportState_FullMethodName, req, nil, (*Server).reportState)
}

func (s *Server) reportState(ctx context.Context, id auth.AgentIdentity, req *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	state, ok := policy.StateFromAgent(req.GetState())
	if !ok {
		return nil, fmt.Errorf("validation let the state %v through", req.GetState())
	}
	message := domain.CutString(req.GetErrorMessage(), domain.MaxErrorMessageBytes)
	err := s.report(ctx, id, state, int(req.GetExitCode()), message, timeOf(req.GetOccurredAt()))
	if reason, ended := domain.TerminationOf(err); ended {
		return &agentv1.ReportStateResponse{
			Acknowledged:    s.acknowledges(ctx, id, state, reason),
			ShouldTerminate: true,
			Reason:          reasonToProto[reason],
		}, nil
	}
	if err != nil {
		return nil, err
	}
	return &agentv1.ReportStateResponse{Acknowledged: true}, nil
}

func (s *Server) report(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, message string, at time.Time) error {
	if _, bounded := ctx.Deadline(); !bounded {
		within, cancel := context.WithTimeout(ctx, reportWithin)
		defer cancel()
		ctx = within
	}
	if s.reporter != nil {
		return s.reporter.ReportStateAt(ctx, id, state, exitCode, message, at)
	}
	return s.store.ReportState(ctx, id, state, exitCode, message)
}

// acknowledges tells whether a report that changed nothing still counts as heard:
// it does where an outcome stands already (STATE-4), not where there is none to
// stand: no such attempt, or a RUNNING during a cancel (STATE-8, STATE-10).
func (s *Server) acknowledges(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, reason domain.Termination) bool {
	switch {
	case reason == domain.TerminationUnknown:
		return false
	case reason != domain.TerminationCancelled || state.Terminal(): // a pending cancel takes a terminal report
		return true
	case s.cancels == nil:
		return false
	}
	_, pending, err := s.cancels.StopBy(ctx, id)
	return err == nil && !pending
}

// reasonToProto holds the wire's word for each reason.
var reasonToProto = map[domain.Termination]agentv1.TerminationReason{
	domain.TerminationCancelled:  agentv1.TerminationReason_TERMINATION_REASON_CANCELLED,
	domain.TerminationSuperseded: agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED,
	domain.TerminationFinished:   agentv1.TerminationReason_TERMINATION_REASON_FINISHED,
	domain.TerminationLost:       agentv1.TerminationReason_TERMINATION_REASON_LOST,
	domain.TerminationTimedOut:   agentv1.TerminationReason_TERMINATION_REASON_TIMED_OUT,
	domain.TerminationUnknown:    agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN,
}

// timeOf returns the time of a timestamp that a client sent, clamped to what can
// be stored; zero where it is absent.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	const year1, year9999 = -62135596800, 253402300799
	seconds := min(max(t.GetSeconds(), year1), year9999)
	nanos := min(max(t.GetNanos(), 0), int32(time.Second-1))
	return time.Unix(seconds, int64(nanos)).UTC()
}
