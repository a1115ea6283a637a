package server_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"go.uber.org/goleak"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestHealthIsToldFromTheBeginning asks before anybody has looked at the store, which may
// take seconds.
func TestHealthIsToldFromTheBeginning(t *testing.T) {
	s, err := server.New(t.Context(), server.Config{Addr: "127.0.0.1:0", DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]healthv1.HealthCheckResponse_ServingStatus{
		"": healthv1.HealthCheckResponse_SERVING,
		agentv1.AgentService_ServiceDesc.ServiceName:     healthv1.HealthCheckResponse_SERVING,
		controlv1.ControlService_ServiceDesc.ServiceName: healthv1.HealthCheckResponse_NOT_SERVING,
	} {
		got, err := server.HealthOf(s).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || got.GetStatus() != want {
			t.Errorf("%q is %v, %v; want %v", service, got.GetStatus(), err, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ended); err != nil {
		t.Error(err)
	}
}

// TestNothingIsLeftOfAServerThatCannotListen looks for goroutines of it.
func TestNothingIsLeftOfAServerThatCannotListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nobody comes
	others := goleak.IgnoreCurrent()
	if _, err := server.New(t.Context(), server.Config{Addr: taken.Addr().String(), DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Fatal("two listen there")
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for err = goleak.Find(others); err != nil && ctx.Err() == nil; {
		err = goleak.Find(others)
	}
	if err != nil {
		t.Error(err)
	}
}
