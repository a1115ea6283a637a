package otherplane

import (
	"context"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// The rate of one attempt: so many calls at once, and one more each so often.
const (
	burst       = 60
	refillEvery = time.Second
	// pushesOverRate are over the rate even where they take two minutes.
	pushesOverRate = 3 * burst
)

// rate holds attempts to their rate. What it is not about it lets through: heartbeats,
// reports, logs.
type rate struct {
	mu      sync.Mutex
	buckets map[bucketKey]*bucket
}

type bucketKey struct {
	id     identity
	pushes bool
}

type bucket struct {
	left float64
	at   time.Time
}

// take refuses a push over the rate, and has a call of the start wait.
func (r *rate) take(ctx context.Context, id identity, method string) error {
	switch method {
	case agentv1.AgentService_PushXCom_FullMethodName:
		if wait := r.spend(bucketKey{id, true}, false); wait > 0 {
			return refuse(codes.ResourceExhausted, "slower", "One thing at a time.").
				with(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
		}
	case agentv1.AgentService_Register_FullMethodName, agentv1.AgentService_GetTaskSpec_FullMethodName,
		agentv1.AgentService_FetchXCom_FullMethodName, agentv1.AgentService_GetVariables_FullMethodName,
		agentv1.AgentService_GetConnections_FullMethodName:
		select {
		case <-time.After(r.spend(bucketKey{id, false}, true)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// spend takes one call out of a bucket, and returns how long to wait for it. Who does
// not wait takes none that is not there.
func (r *rate) spend(key bucketKey, waits bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	b := r.buckets[key]
	if b == nil {
		b = &bucket{left: burst, at: now}
		r.buckets[key] = b
	}
	b.left = min(burst, b.left+float64(now.Sub(b.at))/float64(refillEvery))
	b.at = now
	wait := time.Duration(0)
	if b.left < 1 {
		wait = time.Duration((1 - b.left) * float64(refillEvery))
	}
	if wait == 0 || waits {
		b.left--
	}
	return wait
}
