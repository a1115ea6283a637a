package server_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
	"github.com/neochaotic/leoflow/internal/server"
)

func TestSecret5NoneAreConfigured(t *testing.T) {
	p := start(t, server.Config{NoSecrets: true}, false)
	o := p.operator("acme", auth.RoleAdmin)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	_, variables := a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{})
	_, connections := a.GetConnections(a.ctx, &agentv1.GetConnectionsRequest{})
	for _, err := range []error{variables, connections} {
		if status.Code(err) != codes.Unavailable || reason(err) != rpcstatus.ReasonNotConfigured {
			t.Errorf("delivered: %v", err)
		}
	}
	if _, err := o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: "K", Value: "v"}); status.Code(err) != codes.Unavailable {
		t.Errorf("put: %v", err)
	}
	a.report(t, running, 0) // all else works
}

func TestErr2WhatIsBeforeAHandlerMayPanic(t *testing.T) {
	broken := make(chan bool, 1)
	p := start(t, server.Config{BeforeHandler: func(_ context.Context, method string) {
		select {
		case <-broken:
			panic("in " + method)
		default:
		}
	}}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	broken <- true
	if _, err := a.GetTaskSpec(a.ctx, &agentv1.GetTaskSpecRequest{}); status.Code(err) != codes.Internal || reason(err) != rpcstatus.ReasonInternal {
		t.Errorf("a call: %v", err)
	}
	broken <- true
	stream := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	if _, err := stream.Recv(); status.Code(err) != codes.Internal {
		t.Errorf("a stream: %v", err)
	}
	a.report(t, running, 0)
}
