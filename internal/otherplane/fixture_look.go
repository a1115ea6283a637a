package otherplane

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// look finds an attempt and reads it.
func (f *fixtures) look(ref *conformancev1.AttemptRef, read func(*attempt)) error {
	return f.plane.store.with(func(st *store) error {
		a := st.attempt(identityOf(ref))
		if a == nil {
			return status.Error(codes.NotFound, "there is no such attempt")
		}
		read(a)
		return nil
	})
}

// GetAttempt tells what is stored of an attempt.
func (f *fixtures) GetAttempt(_ context.Context, req *conformancev1.GetAttemptRequest) (*conformancev1.GetAttemptResponse, error) {
	var out *conformancev1.GetAttemptResponse
	err := f.look(req.GetAttempt(), func(a *attempt) {
		out = &conformancev1.GetAttemptResponse{
			State: a.state, Cause: a.cause, ExitCode: a.exit, ErrorMessage: a.message, StartedAt: stamp(a.started), EndedAt: stamp(a.ended),
			HeartbeatAt: stamp(a.beat), CancelRequested: !a.stopBy.IsZero(),
		}
	})
	return out, err
}

// GetValue tells what the current try of a task pushed.
func (f *fixtures) GetValue(_ context.Context, req *conformancev1.GetValueRequest) (*conformancev1.GetValueResponse, error) {
	ref := req.GetTask()
	var out *conformancev1.GetValueResponse
	err := f.plane.store.with(func(st *store) error {
		v := st.task(ref.GetTenantId(), ref.GetDagId(), ref.GetRunId(), ref.GetTaskId()).value(req.GetKey(), f.plane.clock.now())
		if v == nil {
			return status.Error(codes.NotFound, "there is no such value")
		}
		out = &conformancev1.GetValueResponse{Value: v.bytes, ContentType: v.kind}
		return nil
	})
	return out, err
}

// GetLog returns the log of an attempt.
func (f *fixtures) GetLog(_ context.Context, req *conformancev1.GetLogRequest) (*conformancev1.GetLogResponse, error) {
	var out []*controlv1.LogRecord
	err := f.look(req.GetAttempt(), func(a *attempt) { out = a.log.read() })
	return &conformancev1.GetLogResponse{Records: out}, err
}

// ListDeliveries returns what was delivered to whom.
func (f *fixtures) ListDeliveries(_ context.Context, req *conformancev1.ListDeliveriesRequest) (*conformancev1.ListDeliveriesResponse, error) {
	out := &conformancev1.ListDeliveriesResponse{}
	return out, f.plane.store.with(func(st *store) error {
		if t := st.tenants[req.GetTenantId()]; t != nil {
			for _, d := range t.deliveries {
				out.Deliveries = append(out.Deliveries, proto.CloneOf(d))
			}
		}
		return nil
	})
}

// AwaitLine waits for a line of a log.
func (f *fixtures) AwaitLine(ctx context.Context, req *conformancev1.AwaitLineRequest) (*conformancev1.AwaitLineResponse, error) {
	for {
		found := false
		var grows <-chan struct{}
		err := f.plane.store.with(func(st *store) error {
			grows = st.logged
			if a := st.attempt(identityOf(req.GetAttempt())); a != nil {
				for _, e := range a.log.entries {
					found = found || e.record.GetMessage() == req.GetMessage()
				}
			}
			return nil
		})
		if found || err != nil {
			return &conformancev1.AwaitLineResponse{}, err
		}
		select {
		case <-grows:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}
