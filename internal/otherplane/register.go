package otherplane

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// ended is what an attempt is told that is not live.
func ended(id identity, why agentv1.TerminationReason) *refusal {
	return refuse(codes.FailedPrecondition, "too-late", "Try %d of %q (%s) is over: %s.", id.try, id.task, id.instance, why)
}

// Register says hello, and is a sign of life as well.
func (s *service) Register(ctx context.Context, _ *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	id := caller(ctx).id
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now := s.plane.clock.now()
	err := s.do(ctx, func(st *store) error {
		a := st.attempt(id)
		if why := a.notLive(); why != 0 {
			return ended(id, why)
		}
		a.beat = now
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &agentv1.RegisterResponse{SessionId: id.instance, ServerTime: timestamppb.New(now)}, nil
}
