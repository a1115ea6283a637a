package interceptor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
)

// findings are the effects of a chain that are not those of the right order.
type findings struct {
	t    *testing.T
	list []string
}

func (f *findings) add(format string, args ...any) {
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

// expect holds the end of one call against what the order demands: the code that
// the client gets, one count under that code, and one line in the log under the
// call's request id.
func (f *findings) expect(b *bench, what, method string, err error, want codes.Code) {
	f.t.Helper()
	if got := status.Code(err); got != want {
		f.add("%s: %v, want %v", what, got, want)
	}
	if n := b.handled(method, want); n != 1 {
		f.add("%s: counted %v times as %v, want once", what, n, want)
	}
	finished := b.log.lines(f.t, "finished call")
	if len(finished) != 1 || finished[0]["grpc.code"] != want.String() {
		f.add("%s: logged as %v, want one line with %v", what, finished, want)
	} else if id, _ := finished[0]["request_id"].(string); id == "" {
		f.add("%s: logged without a request id", what)
	}
	if want == codes.OK {
		return
	}
	if info, ok := detail[*errdetails.RequestInfo](err); !ok || info.GetRequestId() == "" {
		f.add("%s: the error names no request id", what)
	}
}

// checkOrder tries a chain and returns what is wrong with its effects.
func checkOrder(t *testing.T, links func(Chain) []step) []string {
	t.Helper()
	f := &findings{t: t}
	invalid, invalidPush := &agentv1.FetchXComRequest{}, &agentv1.PushXComRequest{Key: "\x00"}
	invalidVariable := &controlv1.PutVariableRequest{}
	invalidWatch := &controlv1.WatchRunRequest{}
	each := func(s setup, call func(b *bench)) {
		s.links = links
		b := newBench(t, s)
		call(b)
		b.stop()
		for _, p := range b.escaped {
			f.add("a panic passed out of the chain: %v", p)
		}
	}

	each(setup{}, func(b *bench) {
		_, err := b.agent.FetchXCom(b.ctx, invalid)
		f.expect(b, "no token, invalid message", "FetchXCom", err, codes.Unauthenticated)
	})
	each(setup{}, func(b *bench) {
		err := b.watch(b.ctx, invalidWatch)
		f.expect(b, "no token, invalid message, stream", "WatchRun", err, codes.Unauthenticated)
	})
	each(setup{}, func(b *bench) {
		_, err := b.agent.FetchXCom(b.asAgent(), invalid)
		f.expect(b, "token, invalid message", "FetchXCom", err, codes.InvalidArgument)
	})
	each(setup{}, func(b *bench) {
		err := b.watch(b.asOperator(auth.RoleViewer), invalidWatch)
		f.expect(b, "token, invalid message, stream", "WatchRun", err, codes.InvalidArgument)
	})
	each(setup{}, func(b *bench) {
		_, err := b.control.PutVariable(b.asOperator(auth.RoleViewer), invalidVariable)
		f.expect(b, "role too low, invalid message", "PutVariable", err, codes.PermissionDenied)
	})
	each(setup{}, func(b *bench) {
		_, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{})
		f.expect(b, "all well", "Register", err, codes.OK)
	})
	each(setup{agents: &agentService{onRegister: func(context.Context, *agentv1.RegisterRequest) error { return errors.New(secret) }}}, func(b *bench) {
		_, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{})
		f.expect(b, "failing handler", "Register", err, codes.Internal)
	})
	panicky := setup{
		agents: &agentService{
			onRegister: func(context.Context, *agentv1.RegisterRequest) error { panic(secret) },
			onStream:   func(agentv1.AgentService_StreamLogsServer) error { panic(secret) },
		},
		authorise: func(string) (*auth.OperatorIdentity, error) { panic(secret) },
	}
	each(panicky, func(b *bench) {
		_, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{})
		f.expect(b, "panic in a handler", "Register", err, codes.Internal)
		f.expectPanicLogged(b)
	})
	each(panicky, func(b *bench) {
		f.expect(b, "panic in a stream handler", "StreamLogs", b.sendLogs(b.asAgent()), codes.Internal)
		f.expectPanicLogged(b)
	})
	each(panicky, func(b *bench) {
		_, err := b.control.PutVariable(b.asOperator(auth.RoleAdmin), &controlv1.PutVariableRequest{Key: "k"})
		f.expect(b, "panic in a verifier", "PutVariable", err, codes.Internal)
		f.expectPanicLogged(b)
	})
	each(setup{metrics: &Metrics{}}, func(b *bench) {
		_, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{})
		f.survived("panic in the metrics", err)
		f.survived("panic in the metrics, stream", b.sendLogs(b.asAgent()))
	})
	each(setup{rates: usedUp()}, func(b *bench) {
		_, err := b.agent.PushXCom(b.ctx, invalidPush)
		f.expect(b, "no token, over the rate", "PushXCom", err, codes.Unauthenticated)
	})
	each(setup{rates: usedUp()}, func(b *bench) {
		_, err := b.agent.PushXCom(b.asAgent(), invalidPush)
		f.expect(b, "over the rate, invalid message", "PushXCom", err, codes.ResourceExhausted)
	})
	each(setup{newID: func() uuid.UUID { panic(secret) }}, func(b *bench) {
		_, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{})
		f.survived("panic in the request id", err)
		f.survived("panic in the request id, stream", b.sendLogs(b.asAgent()))
	})
	return f.list
}

// expectPanicLogged wants the panic's own line, under the call's request id.
func (f *findings) expectPanicLogged(b *bench) {
	f.t.Helper()
	panics := b.log.lines(f.t, "handler panicked")
	if len(panics) != 1 {
		f.add("panic logged %d times", len(panics))
		return
	}
	for _, key := range []string{"method", "request_id", "panic", "stack"} {
		if text, _ := panics[0][key].(string); text == "" {
			f.add("panic logged without its %s", key)
		}
	}
}

// survived wants INTERNAL of a panic that is further out than the counting.
func (f *findings) survived(what string, err error) {
	f.t.Helper()
	if status.Code(err) != codes.Internal || status.Convert(err).Message() != "internal server error" {
		f.add("%s: %v, want Internal", what, err)
	}
}

func TestErr2TheChainHasTheRightOrderByItsEffects(t *testing.T) {
	for _, wrong := range checkOrder(t, Chain.links) {
		t.Error(wrong)
	}
}

// places of the chain, outermost first.
const (
	atRecovery = iota
	atRequestID
	atLogging
	atMetrics
	atStatus
	atAuthenticate
	atPolicy
	atRates
	atValidation
	places
)

func swapped(i, j int) func([]step) []step {
	return func(links []step) []step {
		links[i], links[j] = links[j], links[i]
		return links
	}
}

func without(i int) func([]step) []step {
	return func(links []step) []step { return slices.Delete(links, i, i+1) }
}

// TestAuth5AMutatedChainIsFoundOut proves that the check of the order can fail. The
// one exchange without an effect is that of logging and metrics: both stand around
// everything that can refuse.
func TestAuth5AMutatedChainIsFoundOut(t *testing.T) {
	if n := len(Chain{Guard: &Guard{}, Metrics: NewMetrics()}.links()); n != places {
		t.Fatalf("the chain has %d links, the mutants know %d", n, places)
	}
	mutants := map[string]func([]step) []step{
		"request id outside recovery":  swapped(atRecovery, atRequestID),
		"logging outside request id":   swapped(atRequestID, atLogging),
		"status outside metrics":       swapped(atMetrics, atStatus),
		"status outside logging":       swapped(atLogging, atStatus),
		"authenticate outside status":  swapped(atStatus, atAuthenticate),
		"policy before authenticate":   swapped(atAuthenticate, atPolicy),
		"validate before authenticate": swapped(atAuthenticate, atValidation),
		"validate before policy":       swapped(atPolicy, atValidation),
		"metrics inside authenticate":  swapped(atMetrics, atAuthenticate),
		"logging inside validation":    swapped(atLogging, atValidation),
		"rates before authenticate":    swapped(atAuthenticate, atRates),
		"rates after validation":       swapped(atRates, atValidation),
		"recovery innermost":           swapped(atRecovery, atValidation),
		"no recovery":                  without(atRecovery),
		"no request id":                without(atRequestID),
		"no logging":                   without(atLogging),
		"no metrics":                   without(atMetrics),
		"no status":                    without(atStatus),
		"no authentication":            without(atAuthenticate),
		"no policy":                    without(atPolicy),
		"no rates":                     without(atRates),
		"no validation":                without(atValidation),
	}
	for name, mutate := range mutants {
		t.Run(name, func(t *testing.T) {
			if wrong := checkOrder(t, func(c Chain) []step { return mutate(c.links()) }); len(wrong) == 0 {
				t.Error("the check of the order does not see it")
			}
		})
	}
}
