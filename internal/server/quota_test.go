package server_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestSecretsOfATenantFitADefaultClient writes secrets until no more are taken, and has
// an agent with a client's default message limit get them all.
func TestSecretsOfATenantFitADefaultClient(t *testing.T) {
	p := start(t, server.Config{}, false)
	o := p.operator("acme", auth.RoleAdmin)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	puts := map[string]func(name string) error{
		"variables": func(name string) error {
			_, err := o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: name, Value: strings.Repeat("v", 262_144)})
			return err
		},
		"connections": func(name string) error {
			_, err := o.PutConnection(o.ctx, &controlv1.PutConnectionRequest{ConnectionId: name, Uri: strings.Repeat("u", 65_536)})
			return err
		},
	}
	stored := map[string]int{}
	for kind, put := range puts {
		var refused error
		for ; refused == nil && stored[kind] < 100; stored[kind]++ {
			refused = put(fmt.Sprintf("name %d", stored[kind]))
		}
		stored[kind]--
		s := status.Convert(refused)
		if s.Code() != codes.ResourceExhausted || reason(refused) != "QUOTA_EXCEEDED" ||
			!strings.Contains(s.Message(), "3 MiB") || !strings.Contains(s.Message(), "delete") {
			t.Errorf("%s: refused with %v", kind, refused)
		}
		for _, detail := range s.Details() {
			if retry, ok := detail.(*errdetails.RetryInfo); ok {
				t.Errorf("%s: a quota does not pass in %v", kind, retry)
			}
		}
	}
	variables := must[*agentv1.GetVariablesResponse](t)(a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{}))
	connections := must[*agentv1.GetConnectionsResponse](t)(a.GetConnections(a.ctx, &agentv1.GetConnectionsRequest{}))
	if v, c := len(variables.GetVariables()), len(connections.GetConnectionUris()); v != stored["variables"] || c != stored["connections"] || v != 11 || c != 47 {
		t.Errorf("delivered %d variables and %d connections of %v", v, c, stored)
	}
}
