package server_test

import (
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestLimit2OneAttemptIsRefusedAndNobodyElse has an attempt push in a loop until it is
// refused: it may still beat, start and end, and another one of the tenant may push.
func TestLimit2OneAttemptIsRefusedAndNobodyElse(t *testing.T) {
	p := start(t, server.Config{AttemptRate: 1}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"), bash("u", "true"))
	a, other := p.launch(o, "t", 1, false), p.launch(o, "u", 1, false)
	a.report(t, running, 0)
	push := func(a *agent) error {
		_, err := a.PushXCom(a.ctx, &agentv1.PushXComRequest{Value: []byte("1")})
		return err
	}
	var refused error
	for began := time.Now(); refused == nil && time.Since(began) < deadline; {
		refused = push(a)
	}
	var delay time.Duration
	for _, detail := range status.Convert(refused).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			delay = retry.GetRetryDelay().AsDuration()
		}
	}
	if status.Code(refused) != codes.ResourceExhausted || reason(refused) != "RATE_EXCEEDED" || delay <= 0 || delay > 2*time.Second {
		t.Errorf("a push over the rate: %v, to be tried again after %v", refused, delay)
	}
	if err := push(other); err != nil {
		t.Errorf("the push of another attempt: %v", err)
	}
	for range 3 {
		must[*agentv1.HeartbeatResponse](t)(a.Heartbeat(a.ctx, &agentv1.HeartbeatRequest{}))
	}
	must[*agentv1.TaskSpec](t)(a.GetTaskSpec(a.ctx, &agentv1.GetTaskSpecRequest{}))
	if got := a.report(t, success, 0); !got.GetAcknowledged() {
		t.Errorf("the report of the end: %v", got)
	}
}
