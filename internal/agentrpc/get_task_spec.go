package agentrpc

import (
	"context"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
)

// GetTaskSpec returns the identity of the token and the stored specification
// (SPEC-1), the same each time (SPEC-2).
func (s *Server) GetTaskSpec(ctx context.Context, req *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	return unary(ctx, s, agentv1.AgentService_GetTaskSpec_FullMethodName, req, nil, (*Server).getTaskSpec)
}

func (s *Server) getTaskSpec(ctx context.Context, id auth.AgentIdentity, _ *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	spec, err := s.store.TaskSpec(ctx, id)
	if err != nil {
		return nil, err
	}
	inputs := make(map[string]*agentv1.XComUpstreams, len(spec.XComInputMapping))
	for parameter, sources := range spec.XComInputMapping {
		inputs[parameter] = &agentv1.XComUpstreams{TaskIds: sources}
	}
	return &agentv1.TaskSpec{
		TenantId:                id.TenantID,
		DagId:                   id.DagID,
		RunId:                   id.RunID,
		TaskId:                  id.TaskID,
		TryNumber:               clampInt32(int64(id.TryNumber)),
		DagVersion:              spec.DagVersion,
		Operator:                spec.Operator,
		Entrypoint:              spec.Entrypoint,
		Environment:             spec.Environment,
		XcomInputMapping:        inputs,
		ExecutionTimeoutSeconds: clampInt32(int64(spec.TimeoutSeconds)),
		CallArgsJson:            spec.CallArgsJSON,
	}, nil
}
