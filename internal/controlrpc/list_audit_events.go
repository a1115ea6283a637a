package controlrpc

import (
	"context"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// ListAuditEvents lists who got which secrets (SECRET-5), and who wrote which, the
// newest first.
func (s *Server) ListAuditEvents(ctx context.Context, req *controlv1.ListAuditEventsRequest) (*controlv1.ListAuditEventsResponse, error) {
	return unaryAs(ctx, s, controlv1.ControlService_ListAuditEvents_FullMethodName, req, s.listAuditEvents)
}

func (s *Server) listAuditEvents(ctx context.Context, by auth.OperatorIdentity, req *controlv1.ListAuditEventsRequest) (*controlv1.ListAuditEventsResponse, error) {
	events, next, err := listing[int64, domain.AuditEvent, *controlv1.AuditEvent]{
		scope: []string{"audit events", by.TenantID},
		load: func(before int64, limit int) ([]domain.AuditEvent, error) {
			return s.Audit.ListAuditEvents(ctx, before, limit)
		},
		key:   func(e domain.AuditEvent) int64 { return e.Seq },
		proto: auditEventToProto,
	}.page(req)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListAuditEventsResponse{Events: events, NextPageToken: next}, nil
}

func auditEventToProto(e domain.AuditEvent) *controlv1.AuditEvent {
	return &controlv1.AuditEvent{
		At:        instant(e.At),
		Action:    string(e.Action),
		DagId:     e.Attempt.DagID,
		RunId:     e.Attempt.RunID,
		TaskId:    e.Attempt.TaskID,
		TryNumber: int32(e.Attempt.TryNumber), //nolint:gosec // came in as an int32
		Names:     e.Names,
		Actor:     string(e.Actor),
	}
}
