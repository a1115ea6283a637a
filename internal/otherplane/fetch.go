package otherplane

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// named is the name of a value that has none.
func named(key string) string {
	if key == "" {
		return "return_value"
	}
	return key
}

// FetchXCom returns what the current try of a declared source pushed.
func (s *service) FetchXCom(ctx context.Context, req *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	id := caller(ctx).id
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var got *value
	err := s.do(ctx, func(st *store) error {
		a := st.attempt(id)
		switch why := a.notLive(); why {
		case agentv1.TerminationReason_TERMINATION_REASON_UNSPECIFIED, agentv1.TerminationReason_TERMINATION_REASON_CANCELLED,
			agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN: // which declares nothing
		default:
			return ended(id, why)
		}
		if a == nil || !a.declares(req.GetUpstreamTaskId()) {
			return refuse(codes.PermissionDenied, "not-an-input", "%q is no input of %q (%s).", req.GetUpstreamTaskId(), id.task, id.instance)
		}
		source := st.task(id.tenant, id.dag, id.run, req.GetUpstreamTaskId())
		if got = source.value(named(req.GetKey()), s.plane.clock.now()); got == nil {
			return refuse(codes.NotFound, "nothing-there", "%q has left nothing under %q to select or insert.", req.GetUpstreamTaskId(), named(req.GetKey()))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &agentv1.FetchXComResponse{
		Value: got.bytes, ContentType: got.kind, SizeBytes: int32(len(got.bytes)), CreatedAt: timestamppb.New(got.created), //nolint:gosec // under the limit of a message
	}, nil
}

func (a *attempt) declares(task string) bool {
	for _, sources := range a.task.wanted.GetSpec().GetXcomInputMapping() {
		if slices.Contains(sources.GetTaskIds(), task) {
			return true
		}
	}
	return false
}

// value finds a value of a task's current try that lives; nil: there is none.
func (t *task) value(key string, now time.Time) *value {
	if t == nil || t.current() == nil {
		return nil
	}
	v := t.current().values[key]
	if v == nil || !now.Before(v.until) {
		return nil
	}
	return v
}
