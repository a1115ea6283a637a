package testbed

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// notFound makes NOT_FOUND of what a look behind the wire does not find.
func notFound(err error) error {
	if errors.Is(err, domain.ErrNotFound) || errors.Is(err, xcom.ErrNotFound) {
		return status.Error(codes.NotFound, "there is none")
	}
	return err
}

// GetAttempt implements FixtureService.
func (b *Bed) GetAttempt(ctx context.Context, req *conformancev1.GetAttemptRequest) (*conformancev1.GetAttemptResponse, error) {
	ref := req.GetAttempt()
	a, err := b.server.Store().Attempt(domain.WithTenant(ctx, ref.GetTenantId()), taskKey(ref), int(ref.GetTryNumber()))
	if err != nil {
		return nil, notFound(err)
	}
	return &conformancev1.GetAttemptResponse{
		State: policy.StateToProto(a.State), Cause: causeToProto(a.Cause),
		ExitCode: int32(min(max(a.ExitCode, math.MinInt32), math.MaxInt32)), ErrorMessage: a.Message,
		StartedAt: instant(a.StartedAt), EndedAt: instant(a.EndedAt), HeartbeatAt: instant(a.HeartbeatAt),
		CancelRequested: !a.CancelRequestedAt.IsZero(),
	}, nil
}

func instant(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// GetValue implements FixtureService.
func (b *Bed) GetValue(ctx context.Context, req *conformancev1.GetValueRequest) (*conformancev1.GetValueResponse, error) {
	ref := req.GetTask()
	entry, err := b.server.Values().Fetch(domain.WithTenant(ctx, ref.GetTenantId()), xcom.Key{
		TenantID: ref.GetTenantId(), DagID: ref.GetDagId(), RunID: ref.GetRunId(), TaskID: ref.GetTaskId(), Name: req.GetKey(),
	})
	if err != nil {
		return nil, notFound(err)
	}
	return &conformancev1.GetValueResponse{Value: entry.Value, ContentType: entry.ContentType}, nil
}

// GetLog implements FixtureService.
func (b *Bed) GetLog(ctx context.Context, req *conformancev1.GetLogRequest) (*conformancev1.GetLogResponse, error) {
	const atOnce = 1000
	ref := logs.RefOf(domain.AttemptRef(identityOf(req.GetAttempt())))
	out := &conformancev1.GetLogResponse{}
	for after := int64(0); ; {
		records, err := b.server.Logs().Read(ctx, ref, after, atOnce)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			out.Records = append(out.Records, recordOf(r))
			after = r.Next
		}
		if len(records) == 0 {
			return out, nil
		}
	}
}

func recordOf(r logs.Record) *controlv1.LogRecord {
	out := &controlv1.LogRecord{
		Time: timestamppb.New(r.Time), Stream: r.Stream, Message: r.Message, LineNumber: r.Number,
		GapThrough: r.GapThrough, Cut: r.Cut,
	}
	switch r.Mark {
	case logs.MarkRestart:
		out.Mark = controlv1.LogMark_LOG_MARK_RESTART
	case logs.MarkGap:
		out.Mark = controlv1.LogMark_LOG_MARK_GAP
	}
	switch r.Level {
	case "debug":
		out.Level = agentv1.LogLevel_LOG_LEVEL_DEBUG
	case "info":
		out.Level = agentv1.LogLevel_LOG_LEVEL_INFO
	case "warning":
		out.Level = agentv1.LogLevel_LOG_LEVEL_WARN
	case "error":
		out.Level = agentv1.LogLevel_LOG_LEVEL_ERROR
	}
	return out
}

// ListDeliveries implements FixtureService.
func (b *Bed) ListDeliveries(ctx context.Context, req *conformancev1.ListDeliveriesRequest) (*conformancev1.ListDeliveriesResponse, error) {
	events, err := b.server.Store().ListAuditEvents(domain.WithTenant(ctx, req.GetTenantId()), 0, 1000)
	if err != nil {
		return nil, err
	}
	slices.Reverse(events)
	out := &conformancev1.ListDeliveriesResponse{}
	for _, e := range events {
		if e.Action != domain.AuditVariablesDelivered && e.Action != domain.AuditConnectionsDelivered {
			continue
		}
		out.Deliveries = append(out.Deliveries, &conformancev1.Delivery{Names: e.Names, Attempt: &conformancev1.AttemptRef{
			TenantId: e.Attempt.TenantID, DagId: e.Attempt.DagID, RunId: e.Attempt.RunID, TaskId: e.Attempt.TaskID,
			TaskInstanceId: e.Attempt.TaskInstanceID, TryNumber: int32(e.Attempt.TryNumber), //nolint:gosec // a try of a test
		}})
	}
	return out, nil
}
