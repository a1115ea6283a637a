package server_test

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestTraceCoversCallsThatAreRefused: tracing lies around all that can refuse.
func TestTraceCoversCallsThatAreRefused(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	p := start(t, server.Config{TracerProvider: trace.NewTracerProvider(trace.WithSpanProcessor(spans))}, false)
	o := p.operator("acme", auth.RoleViewer)
	if _, err := o.CreateRun(o.ctx, &controlv1.CreateRunRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Fatalf("got %v, want a refusal", err)
	}
	p.stop()
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].Name() != "leoflow.control.v1.ControlService/CreateRun" {
		t.Fatalf("spans %v", ended)
	}
	for _, a := range ended[0].Attributes() {
		if a.Key == "rpc.grpc.status_code" && a.Value.AsInt64() == int64(codes.PermissionDenied) ||
			a.Value.AsString() == "PERMISSION_DENIED" {
			return
		}
	}
	t.Errorf("the span does not tell the refusal: %v", ended[0].Attributes())
}
