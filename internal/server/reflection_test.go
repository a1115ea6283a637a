package server_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/neochaotic/leoflow/internal/server"
)

// TestReflectionIsOffOutsideLoopback: it takes no token, so it is for this machine alone.
func TestReflectionIsOffOutsideLoopback(t *testing.T) {
	for addr, want := range map[string]codes.Code{"127.0.0.1:0": codes.OK, "0.0.0.0:0": codes.Unimplemented} {
		p := start(t, server.Config{Addr: addr}, false)
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		stream := must[reflectionv1.ServerReflection_ServerReflectionInfoClient](t)(
			reflectionv1.NewServerReflectionClient(p.conn).ServerReflectionInfo(ctx))
		// A refusal comes out of Recv whatever becomes of the request.
		_ = stream.Send(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
		})
		if _, err := stream.Recv(); status.Code(err) != want {
			t.Errorf("listening on %s: %v, want %v", addr, err, want)
		}
	}
}
