package agentrpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// FetchXCom returns a value of a task that the caller's declared as an input, byte
// for byte (XCOM-4); of any other task it is PERMISSION_DENIED, and of a declared
// one without a value NOT_FOUND (XCOM-5, ISO-2).
func (s *Server) FetchXCom(ctx context.Context, req *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	return unary(ctx, s, agentv1.AgentService_FetchXCom_FullMethodName, req, nil, (*Server).fetchXCom)
}

func (s *Server) fetchXCom(ctx context.Context, id auth.AgentIdentity, req *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	spec, err := s.specOf(ctx, id)
	if err != nil {
		return nil, err
	}
	if !spec.Declares(req.GetUpstreamTaskId()) {
		return nil, domain.ErrUndeclared
	}
	key := xcom.Key{
		TenantID: id.TenantID, DagID: id.DagID, RunID: id.RunID,
		TaskID: req.GetUpstreamTaskId(), Name: keyName(req.GetKey()),
	}
	entry, err := s.fetch(ctx, id, key)
	if err != nil {
		return nil, err
	}
	return &agentv1.FetchXComResponse{
		Value:       entry.Value,
		ContentType: entry.ContentType,
		SizeBytes:   clampInt32(int64(entry.SizeBytes)),
		CreatedAt:   timestamppb.New(entry.CreatedAt),
	}, nil
}

// specOf returns the caller's specification for a call about something else. That it
// is not found is a fault then, and must not read as "no such value" (XCOM-5).
func (s *Server) specOf(ctx context.Context, id auth.AgentIdentity) (TaskSpec, error) {
	spec, err := s.store.TaskSpec(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		return TaskSpec{}, fmt.Errorf("specification of the caller: %s", err.Error())
	}
	return spec, err
}

func (s *Server) fetch(ctx context.Context, id auth.AgentIdentity, key xcom.Key) (xcom.Entry, error) {
	if s.attempts != nil {
		return s.attempts.FetchFor(ctx, id.Attempt(), key)
	}
	return s.xcoms.Fetch(ctx, key)
}

// keyName is the name that a request's key means (XCOM-1).
func keyName(key string) string {
	if key == "" {
		return domain.DefaultXComKey
	}
	return key
}
