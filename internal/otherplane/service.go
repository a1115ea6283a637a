package otherplane

import (
	"sync"
	"sync/atomic"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// service is AgentService from one start of the plane to its end, and what a kill takes
// with it.
type service struct {
	agentv1.UnimplementedAgentServiceServer
	plane  *Plane
	rate   *rate
	killed atomic.Bool   // nothing that it still does counts
	ending chan struct{} // closed: end in order

	mu    sync.Mutex
	calls map[identity]*logCall // the open StreamLogs call of each attempt
}

func newService(p *Plane) *service {
	return &service{
		plane: p, rate: &rate{buckets: map[bucketKey]*bucket{}},
		ending: make(chan struct{}), calls: map[identity]*logCall{},
	}
}
