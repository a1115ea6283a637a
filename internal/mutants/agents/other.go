package agents

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/agent"
)

// Other is an agent that keeps the rules, and chooses otherwise than ours wherever they
// leave a choice. No check may fail it.
const Other = "other"

// What the other agent does in its own way.
const (
	startsIn  = 1500 * time.Millisecond // as an interpreter may
	firstWait = 400 * time.Millisecond  // at most, and doubled each time
)

// otherLacks are the optional abilities that it does not have.
var otherLacks = []string{"renewal"}

func other() *Mutant {
	return &Mutant{
		Name:      Other,
		config:    func(*agent.Config) { <-time.After(startsIn) },
		unary:     otherwise,
		saysFirst: []string{"at work", "one moment"},
	}
}

// otherwise makes calls that nobody asks for, asks for no secrets over plaintext, and
// tries again after waits of which jitter may take all.
func otherwise(r *relay, p *passing) error {
	switch p.method {
	case "GetVariables", "GetConnections":
		if r.plaintext {
			return status.Error(codes.PermissionDenied, "not over plaintext")
		}
	case "Heartbeat":
		defer func() { p.out.(*agentv1.HeartbeatResponse).RenewedToken = "" }()
	}
	err := patiently(p)
	if err != nil {
		return err
	}
	switch p.method {
	case "Register":
		_, _ = r.up.Heartbeat(p.ctx, &agentv1.HeartbeatRequest{CustomMetrics: map[string]float64{"ready": 1}})
	case "GetTaskSpec", "FetchXCom":
		return patiently(p)
	}
	return nil
}

// patiently passes a call on until it is not UNAVAILABLE, or out of time.
func patiently(p *passing) error {
	for longest := firstWait; ; longest *= 2 {
		err := p.send()
		if status.Code(err) != codes.Unavailable {
			return err
		}
		select {
		case <-time.After(rand.N(longest)): //nolint:gosec // no secret
		case <-p.ctx.Done():
			return err
		}
	}
}
