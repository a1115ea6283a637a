package server

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

const (
	// readyEvery is how often the store is looked at.
	readyEvery = 2 * time.Second
	// readyWithin is how long it may take to answer: longer than it waits for who is writing.
	readyWithin = 6 * time.Second
)

// newReady makes the health that probes are told: the server's own and AgentService's
// are good as long as it runs. While the store is away agents are still answered, and
// their reports wait: who took the server out for that would end their connections.
// ControlService's is not, until the first look at the store has ended.
func (s *Server) newReady() error {
	s.health.SetServingStatus(agentv1.AgentService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	s.health.SetServingStatus(controlv1.ControlService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_NOT_SERVING)
	s.ready = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "leoflow_store_ready", Help: "1: the store can be written; 0: it is away, or read-only.",
	})
	return s.registry.Register(s.ready)
}

// lookAtStore tells the health of ControlService, which is that of the store, until stop
// is called, which waits for its end, or returns an error where the store does not let go
// of it.
func (s *Server) lookAtStore() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		next := time.NewTicker(readyEvery)
		defer next.Stop()
		for was := true; ctx.Err() == nil; {
			was = s.look(ctx, was)
			select {
			case <-next.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() error {
		cancel()
		if !endsInTime(ended) {
			return errors.New("the look at the store does not end: the store hangs")
		}
		return nil
	}
}

// look looks once, and says where it is otherwise than it was.
func (s *Server) look(ctx context.Context, was bool) (ready bool) {
	bounded, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	err := s.store.Ready(bounded)
	if ctx.Err() != nil {
		return was
	}
	status, value := healthv1.HealthCheckResponse_SERVING, 1.0
	if err != nil {
		status, value = healthv1.HealthCheckResponse_NOT_SERVING, 0
	}
	s.ready.Set(value)
	s.health.SetServingStatus(controlv1.ControlService_ServiceDesc.ServiceName, status)
	switch {
	case was && err != nil:
		s.cfg.Logger.ErrorContext(ctx, "the store cannot be written: agents are answered, and their reports wait", "cause", err.Error())
	case !was && err == nil:
		s.cfg.Logger.InfoContext(ctx, "the store can be written again")
	}
	return err == nil
}
