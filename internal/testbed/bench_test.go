package testbed

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/localca"
)

// deadline bounds each of these tests; on a machine with time for it none takes a third.
const deadline = 3 * time.Minute

// journal keeps what a server says of itself.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// bench is a server with its fixtures, seen over the wire.
type bench struct {
	conformancev1.FixtureServiceClient
	t      *testing.T
	ctx    context.Context //nolint:containedctx // of all calls of a test
	agents agentv1.AgentServiceClient
	log    *journal
	dir    string
	end    func() error // in order; once
}

// served is a Bed or a Supervisor.
type served interface {
	Addr() string
	FixturesAddr() string
	Serve(ctx context.Context) error
}

func inProcess(ctx context.Context, cfg Config) (served, error) { return New(ctx, cfg) }

func supervised(ctx context.Context, cfg Config) (served, error) { return NewSupervisor(ctx, cfg) }

// put puts a server on the bench.
func put(t *testing.T, begin func(context.Context, Config) (served, error)) *bench {
	t.Helper()
	return putWith(t, Config{DataDir: t.TempDir()}, begin)
}

func putWith(t *testing.T, cfg Config, begin func(context.Context, Config) (served, error)) *bench {
	t.Helper()
	ca, err := localca.New()
	if err != nil {
		t.Fatal(err)
	}
	log := &journal{}
	cfg.TLS, cfg.Logger, cfg.Stderr = ca.ServerTLS(), slog.New(slog.NewTextHandler(log, nil)), log
	bed, err := begin(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- bed.Serve(serving) }()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	conn := dialTo(t, bed.Addr(), credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}))
	fixtures := dialTo(t, bed.FixturesAddr(), insecure.NewCredentials())
	b := &bench{
		FixtureServiceClient: conformancev1.NewFixtureServiceClient(fixtures), t: t, ctx: ctx,
		agents: agentv1.NewAgentServiceClient(conn), log: log, dir: cfg.DataDir,
		end: sync.OnceValue(func() error { stop(); return <-ended }),
	}
	t.Cleanup(func() {
		cancel()
		if err := b.end(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return b
}

func dialTo(t *testing.T, addr string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// must is the reply of a call that has to succeed.
func must[T any](t *testing.T) func(T, error) T {
	return func(reply T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
}

// attempt is one that was prepared, seen as its agent sees it.
type attempt struct {
	*bench
	ref *conformancev1.AttemptRef
	ctx context.Context //nolint:containedctx // carries the token
}

// attempt prepares an attempt of a run of its own in tenant acme.
func (b *bench) attempt(run string, state policyv1.TaskState) *attempt {
	b.t.Helper()
	_, err := b.PrepareRun(b.ctx, &conformancev1.PrepareRunRequest{
		TenantId: "acme", DagId: "dag", DagVersion: "1", RunId: run,
		Tasks: []*conformancev1.FixtureTask{
			{Spec: &agentv1.TaskSpec{TaskId: "other", Operator: "bash", Entrypoint: "true"}},
			{Spec: &agentv1.TaskSpec{
				TaskId: "task", Operator: "bash", Entrypoint: "true",
				XcomInputMapping: map[string]*agentv1.XComUpstreams{"in": {TaskIds: []string{"other"}}},
			}},
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	got := must[*conformancev1.PrepareAttemptResponse](b.t)(b.PrepareAttempt(b.ctx, &conformancev1.PrepareAttemptRequest{
		Task: &conformancev1.AttemptRef{TenantId: "acme", DagId: "dag", RunId: run, TaskId: "task"}, State: state,
	}))
	return &attempt{b, got.GetAttempt(), as(b.ctx, got.GetToken())}
}

func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// set makes or ends a fault.
func (b *bench) set(fault conformancev1.Fault, active bool) {
	b.t.Helper()
	if _, err := b.SetFault(b.ctx, &conformancev1.SetFaultRequest{Fault: fault, Active: active}); err != nil {
		b.t.Fatalf("%s %v: %v", fault, active, err)
	}
}

// spec reads the specification. Where the server was killed, the end of a connection to it may
// be seen only by the call that meets it.
func (a *attempt) spec() error {
	for {
		_, err := a.agents.GetTaskSpec(a.ctx, &agentv1.GetTaskSpecRequest{})
		if status.Code(err) != codes.Unavailable || a.ctx.Err() != nil {
			return err
		}
	}
}

func (a *attempt) variables() (*agentv1.GetVariablesResponse, error) {
	return a.agents.GetVariables(a.ctx, &agentv1.GetVariablesRequest{})
}

func (a *attempt) beat() *agentv1.HeartbeatResponse {
	a.t.Helper()
	return must[*agentv1.HeartbeatResponse](a.t)(a.agents.Heartbeat(a.ctx, &agentv1.HeartbeatRequest{}))
}

func (a *attempt) stored() *conformancev1.GetAttemptResponse {
	a.t.Helper()
	return must[*conformancev1.GetAttemptResponse](a.t)(a.GetAttempt(a.bench.ctx, &conformancev1.GetAttemptRequest{Attempt: a.ref}))
}
