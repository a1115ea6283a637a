package server

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/agentrpc"
	"github.com/neochaotic/leoflow/internal/controlrpc"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/xcom"
)

const (
	// overLimit is how far over the XCom limit a value may be and still get an
	// answer rather than a transport error (XCOM-2).
	overLimit = 1 << 20
	// messageOverhead is room for the rest of a message.
	messageOverhead = 64 << 10
	// leastMessageBytes is gRPC's own default limit: no request is limited further.
	leastMessageBytes = 4 << 20
	// streamsAtOnce bounds the calls under way on one connection, so that a peer that
	// never says who it is holds no more (LIMIT-3). Who follows more logs than that
	// opens a second connection.
	streamsAtOnce = 4096
	// pageWithin bounds a peer that connects to the metrics page and says nothing.
	pageWithin = 20 * time.Second
	// handlersReady is how many goroutines wait for calls with a stack that has grown
	// already. Open log streams take them up for good; calls beyond have one made, which the
	// stacks of so many streams have taught Go to make large enough.
	handlersReady = 256
	// streamWindow is how many bytes of one call wait in the server for who reads them, and
	// connWindow how many are on their way to it over a connection. By itself gRPC lets them grow to
	// 16 MiB where the network is fast, and of very many log streams each keeps for good what a
	// queue of as many bytes in short lines takes.
	streamWindow = 64 << 10
	connWindow   = 1 << 20
)

// TransportOptions are what makes the transport fast whatever is served over it.
func TransportOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.NumStreamWorkers(handlersReady),
		grpc.MaxConcurrentStreams(streamsAtOnce),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
	}
}

// assemble makes the services, the chain and the gRPC server.
func (s *Server) assemble(ctx context.Context) error {
	var err error
	s.values, err = xcom.New(s.store, xcom.Options{MaxBytes: s.cfg.XComMaxBytes, TTL: s.cfg.XComTTL, Now: s.cfg.Clock})
	if err != nil {
		return err
	}
	if s.cfg.AllowPlaintextSecrets {
		s.cfg.Logger.WarnContext(ctx, "secrets are delivered over plaintext channels too, as configured")
	}
	if window := s.cfg.SilenceWindow; window < 2*domain.BeatInterval {
		s.cfg.Logger.WarnContext(ctx, "the window of silence is too short for deployed agents: one late beat, and healthy work is lost",
			"window", window, "they_beat_every", domain.BeatInterval)
	}
	s.agents = agentrpc.NewServer(s.tokens, s.store, s.values)
	s.agents.SetLogger(s.cfg.Logger)
	s.agents.SetClock(s.cfg.Clock)
	s.agents.SetBeatInterval(s.cfg.beatInterval())
	if s.cfg.StreamLooks > 0 {
		s.agents.SetStreamLooks(s.cfg.StreamLooks)
	}
	s.agents.SetLogSink(s.logs)
	s.agents.SetHearsay(s.hearsay)
	if !s.cfg.NoSecrets {
		s.agents.SetSecrets(s.store, s.cfg.AllowPlaintextSecrets)
	}
	s.control, err = controlrpc.NewServer(controlrpc.Config{
		Runs: s.store, Values: s.values, Secrets: s.store, Audit: s.store, Logs: s.logs, Tokens: s.tokens,
		AllowPlaintext: s.cfg.AllowPlaintextSecrets, Logger: s.cfg.Logger,
	})
	if err != nil {
		return err
	}
	options, err := s.grpcOptions()
	if err != nil {
		return err
	}
	s.grpc = grpc.NewServer(options...)
	s.health = health.NewServer()
	if err := s.newReady(); err != nil {
		return err
	}
	watched := s.refusals.Of(s.grpc)
	agentv1.RegisterAgentServiceServer(watched, s.agents)
	controlv1.RegisterControlServiceServer(watched, s.control)
	healthv1.RegisterHealthServer(watched, s.health)
	if loopback, _ := checkHostPort("", s.cfg.Addr); loopback {
		reflection.Register(s.grpc)
	}
	return nil
}

// grpcOptions are the transport's limits and the chain.
func (s *Server) grpcOptions() ([]grpc.ServerOption, error) {
	chain, err := s.chain()
	if err != nil {
		return nil, err
	}
	if s.gate, err = newGate(s.cfg.UnauthenticatedConns, s.cfg.AuthenticateWithin, s.registry); err != nil {
		return nil, err
	}
	chain.Authenticated = s.gate.authenticated
	if s.refusals, err = interceptor.NewRefusals(s.registry); err != nil {
		return nil, err
	}
	options := append(append(TransportOptions(), chain.ServerOptions()...),
		s.refusals.ServerOption(),
		grpc.MaxRecvMsgSize(max(leastMessageBytes, s.cfg.XComMaxBytes+overLimit+messageOverhead)),
		grpc.ConnectionTimeout(s.cfg.HandshakeWithin),
		// Agents beat while nothing else happens: no connection is ended for its age
		// or for being quiet, only for being dead.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
	)
	if s.cfg.BeforeHandler != nil {
		options = append(options, grpc.ChainUnaryInterceptor(s.beforeUnary), grpc.ChainStreamInterceptor(s.beforeStream))
	}
	if s.cfg.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.cfg.TLS)))
	}
	if s.cfg.TracerProvider != nil {
		options = append(options, grpc.StatsHandler(
			otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(s.cfg.TracerProvider))))
	}
	return options, nil
}

// beforeUnary and beforeStream call what the configuration wants called before handlers.
func (s *Server) beforeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	s.cfg.BeforeHandler(ctx, info.FullMethod)
	return handler(ctx, req)
}

func (s *Server) beforeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	s.cfg.BeforeHandler(stream.Context(), info.FullMethod)
	return handler(srv, stream)
}

// chain is the interceptors, under the policies of both services. A service with an
// RPC that lacks one does not start.
func (s *Server) chain() (interceptor.Chain, error) {
	policies, err := policy.Load(
		agentv1.File_leoflow_agent_v1_agent_proto,
		controlv1.File_leoflow_control_v1_control_proto,
	)
	if err != nil {
		return interceptor.Chain{}, err
	}
	metrics, err := s.newMetrics()
	if err != nil {
		return interceptor.Chain{}, err
	}
	return interceptor.Chain{
		Guard: &interceptor.Guard{
			Policies:             policies,
			AuthenticateAttempt:  s.tokens.AuthenticateAttempt,
			AuthenticateOperator: s.tokens.AuthenticateOperator,
			Logger:               s.cfg.Logger,
		},
		Rates:   interceptor.NewRates(s.cfg.AttemptRate, s.cfg.TenantRate),
		Metrics: metrics,
		Logger:  s.cfg.Logger,
	}, nil
}

// metricsPage serves the registry, with the process's own figures.
func metricsPage(registry *prometheus.Registry) *http.Server {
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return &http.Server{Handler: mux, ReadHeaderTimeout: pageWithin}
}
