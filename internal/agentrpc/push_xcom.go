package agentrpc

import (
	"context"
	"errors"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// The reasons for which a value is not stored; part of the wire.
const (
	rejectedTooLarge = "payload_too_large"
	rejectedSchema   = "schema_mismatch"
)

// PushXCom stores a value under the caller's own identity (XCOM-1). A value that is
// too large or against its schema is rejected in the answer, without an error
// (XCOM-2, XCOM-3).
func (s *Server) PushXCom(ctx context.Context, req *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	return unary(ctx, s, agentv1.AgentService_PushXCom_FullMethodName, req, nil, (*Server).pushXCom)
}

func (s *Server) pushXCom(ctx context.Context, id auth.AgentIdentity, req *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	name := keyName(req.GetKey())
	spec, err := s.specOf(ctx, id)
	if err != nil {
		return nil, err
	}
	var schema map[string]any
	if name == domain.DefaultXComKey { // the schema is that of the return value
		schema = spec.XComSchema
	}
	contentType := domain.CutString(req.GetContentType(), domain.MaxAgentInfoBytes)
	ttl, err := s.push(ctx, id, name, req.GetValue(), contentType, schema)
	switch {
	case err == nil:
		return &agentv1.PushXComResponse{Accepted: true, TtlSeconds: clampInt32(int64(ttl / time.Second))}, nil
	case errors.Is(err, xcom.ErrTooLarge):
		return &agentv1.PushXComResponse{RejectionReason: rejectedTooLarge}, nil
	case errors.Is(err, xcom.ErrSchemaMismatch):
		return &agentv1.PushXComResponse{RejectionReason: rejectedSchema}, nil
	default:
		return nil, err
	}
}

// push stores the value and returns how long it lives (XCOM-8).
func (s *Server) push(ctx context.Context, id auth.AgentIdentity, name string, value []byte, contentType string, schema map[string]any) (time.Duration, error) {
	if s.attempts != nil {
		return s.attempts.PushFrom(ctx, id.Attempt(), name, value, contentType, schema)
	}
	key := xcom.Key{TenantID: id.TenantID, DagID: id.DagID, RunID: id.RunID, TaskID: id.TaskID, Name: name}
	return xcom.DefaultTTL, s.xcoms.Push(ctx, key, value, contentType, schema)
}
