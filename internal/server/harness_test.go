package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/localca"
	"github.com/neochaotic/leoflow/internal/server"
)

// deadline bounds every wait of these tests; nothing takes a part of it when right.
const deadline = 2 * time.Minute

// plane is a real control plane on loopback, with a connection to it.
type plane struct {
	t      *testing.T
	server *server.Server
	conn   *grpc.ClientConn
	late   *atomic.Int64 // heartbeats that the store gave no word on in time
	stop   func()        // ends it in order, and waits
}

// lateness counts, in a server's log, the heartbeats that were answered without the store's
// word, or without all of it (BEAT-2).
type lateness struct {
	slog.Handler
	late *atomic.Int64
}

func (l lateness) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "heartbeat not recorded" || r.Message == "deadline of a cancel not read" {
		l.late.Add(1)
	}
	return l.Handler.Handle(ctx, r)
}

func (l lateness) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lateness{l.Handler.WithAttrs(attrs), l.late}
}

func (l lateness) WithGroup(name string) slog.Handler {
	return lateness{l.Handler.WithGroup(name), l.late}
}

// start runs a server over TLS, or over plaintext, until the test ends.
func start(t *testing.T, cfg server.Config, plaintext bool) *plane {
	t.Helper()
	clientCreds := insecure.NewCredentials()
	if !plaintext {
		ca, err := localca.New()
		if err != nil {
			t.Fatal(err)
		}
		cfg.TLS = ca.ServerTLS()
		clientCreds = credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	late := new(atomic.Int64)
	cfg.Logger = slog.New(lateness{cfg.Logger.Handler(), late})
	srv, err := server.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx) }()
	_, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(net.JoinHostPort("127.0.0.1", port), grpc.WithTransportCredentials(clientCreds))
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	p := &plane{t: t, server: srv, conn: conn, late: late}
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(func() {
		p.stop()
		_ = conn.Close()
	})
	return p
}

// as returns a context that carries a token.
func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// operator is a ControlService client of one tenant.
type operator struct {
	controlv1.ControlServiceClient
	ctx context.Context //nolint:containedctx // a test's caller is its context
	t   *testing.T
}

func (p *plane) operator(tenant string, role auth.Role) *operator {
	p.t.Helper()
	token, _, err := p.server.Tokens().MintOperator(auth.OperatorIdentity{Subject: "test", TenantID: tenant, Role: role}, time.Hour)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	p.t.Cleanup(cancel)
	return &operator{controlv1.NewControlServiceClient(p.conn), as(ctx, token), p.t}
}

// createRun creates dag/run with the tasks.
func (o *operator) createRun(tasks ...*controlv1.TaskDefinition) {
	o.t.Helper()
	if _, err := o.CreateRun(o.ctx, &controlv1.CreateRunRequest{DagId: "dag", RunId: "run", DagVersion: "7", Tasks: tasks}); err != nil {
		o.t.Fatal(err)
	}
}

// agent is an AgentService client of one attempt, speaking the bare wire.
type agent struct {
	agentv1.AgentServiceClient
	ctx        context.Context //nolint:containedctx // as above
	instanceID string
	token      string
	late       *atomic.Int64 // that of the server which launched it
}

// launch begins try of task in dag/run and returns its agent.
func (p *plane) launch(o *operator, task string, try int32, supersede bool) *agent {
	p.t.Helper()
	resp, err := o.LaunchAttempt(o.ctx, &controlv1.LaunchAttemptRequest{
		DagId: "dag", RunId: "run", TaskId: task, TryNumber: try, Supersede: supersede,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	p.t.Cleanup(cancel)
	return &agent{
		AgentServiceClient: agentv1.NewAgentServiceClient(p.conn),
		ctx:                as(ctx, resp.GetAgentToken()),
		instanceID:         resp.GetTaskInstanceId(),
		token:              resp.GetAgentToken(),
		late:               p.late,
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
