package otherplane

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

const messageMax = 16 << 10

// outcomes are the reports that settle, and what is stored of them.
var outcomes = map[agentv1.TaskState]policyv1.TaskState{
	agentv1.TaskState_TASK_STATE_SUCCESS: policyv1.TaskState_TASK_STATE_SUCCESS,
	agentv1.TaskState_TASK_STATE_FAILED:  policyv1.TaskState_TASK_STATE_FAILED,
	agentv1.TaskState_TASK_STATE_SKIPPED: policyv1.TaskState_TASK_STATE_SKIPPED,
}

// ReportState stores what became of the attempt. An outcome outwaits a store that fails.
func (s *service) ReportState(ctx context.Context, req *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	id := caller(ctx).id
	var reply *agentv1.ReportStateResponse
	work := func(st *store) error {
		reply = s.report(st.attempt(id), req)
		return nil
	}
	if _, settles := outcomes[req.GetState()]; !settles {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err := s.do(ctx, work)
		return reply, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := s.doPatiently(ctx, work)
	return reply, err
}

// report takes one report to a stored attempt; nil: it is unknown.
func (s *service) report(a *attempt, req *agentv1.ReportStateRequest) *agentv1.ReportStateResponse {
	why := a.notLive()
	outcome, settles := outcomes[req.GetState()]
	switch {
	case why == agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN:
		return &agentv1.ReportStateResponse{ShouldTerminate: true, Reason: why}
	case a.settledBy != nil && proto.Equal(a.settledBy, req):
		return &agentv1.ReportStateResponse{Acknowledged: true}
	case a.superseded() || a.settled():
		return &agentv1.ReportStateResponse{Acknowledged: true, ShouldTerminate: true, Reason: why}
	case !settles && !a.stopBy.IsZero():
		return &agentv1.ReportStateResponse{ShouldTerminate: true, Reason: why}
	case !settles && a.state == policyv1.TaskState_TASK_STATE_RUNNING:
		return &agentv1.ReportStateResponse{Acknowledged: true}
	case !settles:
		a.state, a.started = policyv1.TaskState_TASK_STATE_RUNNING, s.when(req, a.launched)
		return &agentv1.ReportStateResponse{Acknowledged: true}
	}
	a.settledBy = proto.CloneOf(req)
	a.state, a.exit, a.message = outcome, req.GetExitCode(), shortened(req.GetErrorMessage(), messageMax)
	a.ended = s.when(req, a.started)
	if outcome == policyv1.TaskState_TASK_STATE_FAILED {
		switch {
		case !a.stopBy.IsZero():
			a.cause = controlv1.Cause_CAUSE_CANCELLED
		case req.GetExitCode() != 0:
			a.cause = controlv1.Cause_CAUSE_EXIT_NONZERO
		}
	}
	return &agentv1.ReportStateResponse{Acknowledged: true}
}

// when is the agent's time of a report, or the plane's where it said none that can be.
func (s *service) when(req *agentv1.ReportStateRequest, notBefore time.Time) time.Time {
	now := s.plane.clock.now()
	at := now
	if req.GetOccurredAt().IsValid() {
		at = req.GetOccurredAt().AsTime()
	}
	if at.After(now) {
		at = now
	}
	if at.Before(notBefore) {
		at = notBefore
	}
	return at
}

// shortened cuts a text at a character boundary.
func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return strings.Clone(text[:limit])
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
