package otherplane

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// patience is how long a call waits for the store that is no heartbeat and no report.
const patience = 6 * time.Second

// GetTaskSpec tells what to run, whatever has become of the attempt.
func (s *service) GetTaskSpec(ctx context.Context, _ *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	id := caller(ctx).id
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var spec *agentv1.TaskSpec
	err := s.do(ctx, func(st *store) error {
		a := st.attempt(id)
		if a == nil {
			return refuse(codes.PermissionDenied, "not-yours", "There is nothing to run for %q (%s).", id.task, id.instance)
		}
		spec = proto.CloneOf(a.task.wanted.GetSpec())
		spec.DagVersion = st.tenants[id.tenant].runs[[2]string{id.dag, id.run}].version
		return nil
	})
	if err != nil {
		return nil, err
	}
	spec.TenantId, spec.DagId, spec.RunId, spec.TaskId, spec.TryNumber = id.tenant, id.dag, id.run, id.task, id.try
	return spec, nil
}
