package bench

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// Op is a kind of call.
type Op string

// The kinds. Report needs attempts of its own, each of which takes two.
const (
	Heartbeat Op = "heartbeat"
	Spec      Op = "spec"
	Report    Op = "report"
	Push      Op = "push"
	Fetch     Op = "fetch"
	Logs      Op = "logs"
)

// Ops are all kinds, in the order in which they are told.
func Ops() []Op { return []Op{Heartbeat, Report, Spec, Push, Fetch, Logs} }

// valueBytes is the size of a value that is pushed or fetched.
const valueBytes = 1 << 10

// Source is the task whose value is fetched: every attempt declares it as an input.
const Source = "source"

// value is one of valueBytes bytes, and JSON.
var value = append(append([]byte(`"`), bytes.Repeat([]byte("x"), valueBytes-2)...), '"')

// Attempt is one that load is put on.
type Attempt struct {
	ctx context.Context //nolint:containedctx // it has the token, made once
}

// NewAttempt is an attempt by its agent's token.
func NewAttempt(token string) Attempt {
	return Attempt{metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token)}
}

// NewAttempts are the attempts of such tokens.
func NewAttempts(tokens []string) []Attempt {
	out := make([]Attempt, len(tokens))
	for i, token := range tokens {
		out[i] = NewAttempt(token)
	}
	return out
}

// within is the attempt's context, but that it ends with ctx.
func (a Attempt) within(ctx context.Context) context.Context {
	md, _ := metadata.FromOutgoingContext(a.ctx)
	return metadata.NewOutgoingContext(ctx, md)
}

// call makes the nth call of an attempt. A reply that says no is an error.
func (op Op) call(c agentv1.AgentServiceClient, a Attempt, n int) error {
	switch op {
	case Heartbeat:
		got, err := c.Heartbeat(a.ctx, &agentv1.HeartbeatRequest{})
		if err == nil && got.GetShouldTerminate() {
			err = fmt.Errorf("a heartbeat was told to terminate: %s", got.GetReason())
		}
		return err
	case Spec:
		_, err := c.GetTaskSpec(a.ctx, &agentv1.GetTaskSpecRequest{})
		return err
	case Report:
		state := agentv1.TaskState_TASK_STATE_RUNNING
		if n > 0 {
			state = agentv1.TaskState_TASK_STATE_SUCCESS
		}
		got, err := c.ReportState(a.ctx, &agentv1.ReportStateRequest{State: state, OccurredAt: timestamppb.Now()})
		if err == nil && !got.GetAcknowledged() {
			err = fmt.Errorf("a report of %s was not acknowledged", state)
		}
		return err
	case Push:
		got, err := c.PushXCom(a.ctx, &agentv1.PushXComRequest{Value: value, ContentType: "application/json"})
		if err == nil && !got.GetAccepted() {
			err = fmt.Errorf("a push was not accepted: %s", got.GetRejectionReason())
		}
		return err
	case Fetch:
		_, err := c.FetchXCom(a.ctx, &agentv1.FetchXComRequest{UpstreamTaskId: Source})
		return err
	}
	return fmt.Errorf("%s is no call", op)
}
