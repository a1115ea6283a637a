package interceptor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/policy"
)

const (
	// patient bounds every wait; nothing takes a part of it when right.
	patient = time.Minute
	// secret stands for whatever private text an error or a panic carries.
	secret = "secret-cause-text"
	// messageLimit is the bench's transport limit.
	messageLimit = 64 << 10
)

// syncBuffer is a buffer that several goroutines may write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// lines returns the log records with a message, oldest first.
func (b *syncBuffer) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		record := map[string]any{}
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if record["msg"] == message {
			out = append(out, record)
		}
	}
	return out
}

// agentService serves some RPCs of AgentService as its fields say, and has no
// steps of its own: what stands before it is the chain alone.
type agentService struct {
	agentv1.UnimplementedAgentServiceServer
	onRegister  func(context.Context, *agentv1.RegisterRequest) error
	onStream    func(agentv1.AgentService_StreamLogsServer) error
	streamTaken func(*agentv1.LogLine)
}

func (a *agentService) Register(ctx context.Context, req *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	if a.onRegister != nil {
		if err := a.onRegister(ctx, req); err != nil {
			return nil, err
		}
	}
	return &agentv1.RegisterResponse{SessionId: CallFrom(ctx).Agent.TaskInstanceID}, nil
}

func (a *agentService) PushXCom(context.Context, *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	return &agentv1.PushXComResponse{Accepted: true}, nil
}

func (a *agentService) FetchXCom(context.Context, *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	return &agentv1.FetchXComResponse{}, nil
}

func (a *agentService) StreamLogs(stream agentv1.AgentService_StreamLogsServer) error {
	if a.onStream != nil {
		return a.onStream(stream)
	}
	for {
		line, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if a.streamTaken != nil {
			a.streamTaken(line)
		}
	}
}

// controlService is agentService's like for ControlService.
type controlService struct {
	controlv1.UnimplementedControlServiceServer
	onWatch func(*controlv1.WatchRunRequest, controlv1.ControlService_WatchRunServer) error
}

func (*controlService) CreateRun(context.Context, *controlv1.CreateRunRequest) (*controlv1.CreateRunResponse, error) {
	return &controlv1.CreateRunResponse{Created: true}, nil
}

func (*controlService) PutVariable(context.Context, *controlv1.PutVariableRequest) (*controlv1.PutVariableResponse, error) {
	return &controlv1.PutVariableResponse{}, nil
}

func (c *controlService) WatchRun(req *controlv1.WatchRunRequest, stream controlv1.ControlService_WatchRunServer) error {
	if c.onWatch != nil {
		return c.onWatch(req, stream)
	}
	return stream.Send(&controlv1.WatchRunResponse{})
}

// setup is what a bench is made of; the zero value is the real thing.
type setup struct {
	links        func(Chain) []step
	logHandler   func(slog.Handler) slog.Handler
	metrics      *Metrics
	rates        *Rates
	authenticate func(string) (*auth.AgentIdentity, error)
	authorise    func(string) (*auth.OperatorIdentity, error)
	newID        func() uuid.UUID
	agents       *agentService
	control      *controlService
}

// bench is a real gRPC server on bufconn with the real generated services.
type bench struct {
	t        *testing.T
	log      syncBuffer
	registry *prometheus.Registry
	tokens   *auth.Tokens
	conn     *grpc.ClientConn
	health   *health.Server
	agent    agentv1.AgentServiceClient
	control  controlv1.ControlServiceClient
	ctx      context.Context //nolint:containedctx // bounds the calls of a test
	stop     func()          // ends the server in order, and waits
	// escaped holds the panics that passed out of the whole chain.
	mu      sync.Mutex
	escaped []any
}

func testTokens(t testing.TB) *auth.Tokens {
	t.Helper()
	keys, err := auth.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewTokens(keys, nil)
}

func testPolicies(t testing.TB) *policy.Table {
	t.Helper()
	table, err := policy.Load(agentv1.File_leoflow_agent_v1_agent_proto, controlv1.File_leoflow_control_v1_control_proto)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func newBench(t *testing.T, s setup) *bench {
	t.Helper()
	b := &bench{t: t, registry: prometheus.NewRegistry(), tokens: testTokens(t)}
	var handler slog.Handler = slog.NewJSONHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})
	if s.logHandler != nil {
		handler = s.logHandler(handler)
	}
	logger := slog.New(handler)
	if s.metrics == nil {
		s.metrics = NewMetrics()
		b.registry.MustRegister(s.metrics)
	}
	if s.authenticate == nil {
		s.authenticate = b.tokens.AuthenticateAgent
	}
	if s.authorise == nil {
		s.authorise = b.tokens.AuthenticateOperator
	}
	chain := Chain{
		Guard: &Guard{
			Policies: testPolicies(t), AuthenticateAgent: s.authenticate, AuthenticateOperator: s.authorise, Logger: logger,
		},
		Metrics: s.metrics, Logger: logger, Rates: s.rates, newID: s.newID,
	}
	b.serve(s, chain)
	return b
}

// serve starts the server and connects to it, until the test ends.
func (b *bench) serve(s setup, chain Chain) {
	b.t.Helper()
	refusals, err := NewRefusals(b.registry)
	if err != nil {
		b.t.Fatal(err)
	}
	options := chain.ServerOptions()
	if s.links != nil {
		options = b.netted(chain.through(s.links(chain)))
	}
	srv := grpc.NewServer(append(options, refusals.ServerOption(), grpc.MaxRecvMsgSize(messageLimit))...)
	if s.agents == nil {
		s.agents = &agentService{}
	}
	if s.control == nil {
		s.control = &controlService{}
	}
	b.health = health.NewServer()
	watched := refusals.Of(srv)
	agentv1.RegisterAgentServiceServer(watched, s.agents)
	controlv1.RegisterControlServiceServer(watched, s.control)
	healthv1.RegisterHealthServer(watched, b.health)
	listener := bufconn.Listen(1 << 20)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener)
	}()
	b.conn, err = grpc.NewClient("passthrough:///bufnet", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	b.ctx = ctx
	b.stop = sync.OnceFunc(func() {
		cancel()
		_ = b.conn.Close()
		srv.GracefulStop()
		<-served
	})
	b.t.Cleanup(b.stop)
	b.agent = agentv1.NewAgentServiceClient(b.conn)
	b.control = controlv1.NewControlServiceClient(b.conn)
}

// netted puts a net under a chain that may be a broken one: a panic that passes
// out of it is written down instead of ending the test process.
func (b *bench) netted(through *passage) []grpc.ServerOption {
	caught := func(err *error) {
		if p := recover(); p != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.escaped = append(b.escaped, p)
			*err = status.Error(codes.DataLoss, "a panic passed out of the chain")
		}
	}
	unary := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		defer caught(&err)
		return through.unary(ctx, req, info, handler)
	}
	stream := func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer caught(&err)
		return through.stream(srv, ss, info, handler)
	}
	return []grpc.ServerOption{grpc.UnaryInterceptor(unary), grpc.StreamInterceptor(stream)}
}

var testIdentity = auth.AgentIdentity{
	TaskInstanceID: "ti-1", TenantID: "acme", DagID: "dag", RunID: "manual__2026-11-24T10:00:00+00:00", TaskID: "extract", TryNumber: 1,
}

// bearing returns a context that carries a token, and whatever pairs of metadata.
func (b *bench) bearing(token string, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(b.ctx, append([]string{"authorization", "Bearer " + token}, pairs...)...)
}

func (b *bench) agentToken() string {
	b.t.Helper()
	token, _, err := b.tokens.MintAgent(testIdentity, time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

func (b *bench) operatorToken(role auth.Role) string {
	b.t.Helper()
	token, _, err := b.tokens.MintOperator(auth.OperatorIdentity{Subject: "ops", TenantID: "acme", Role: role}, time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

func (b *bench) asAgent(pairs ...string) context.Context { return b.bearing(b.agentToken(), pairs...) }

func (b *bench) asOperator(role auth.Role) context.Context { return b.bearing(b.operatorToken(role)) }

// counted returns a counter's value; labels come as name, value, name, value.
func (b *bench) counted(name string, labels ...string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			have := map[string]string{}
			for _, label := range metric.GetLabel() {
				have[label.GetName()] = label.GetValue()
			}
			matches := true
			for i := 0; i < len(labels); i += 2 {
				matches = matches && have[labels[i]] == labels[i+1]
			}
			if matches {
				total += metric.GetCounter().GetValue()
			}
		}
	}
	return total
}

// handled returns how often a method ended with a code.
func (b *bench) handled(method string, code codes.Code) float64 {
	b.t.Helper()
	return b.counted("grpc_server_handled_total", "grpc_method", method, "grpc_code", code.String())
}

// detail returns the first detail of type T of a call's error.
func detail[T proto.Message](err error) (T, bool) {
	for _, d := range status.Convert(err).Details() {
		if one, ok := d.(T); ok {
			return one, true
		}
	}
	return *new(T), false
}

// details lists the details of a call's error.
func details(err error) iter.Seq[any] { return slices.Values(status.Convert(err).Details()) }

// fields lists the fields that a refusal names.
func fields(err error) []string {
	bad, _ := detail[*errdetails.BadRequest](err)
	var out []string
	for _, v := range bad.GetFieldViolations() {
		out = append(out, v.GetField())
	}
	return out
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("code %v (%v), want %v", got, err, want)
	}
}

// wantNoSecret looks for private text anywhere in what a client gets.
func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	if text := protojson.Format(status.Convert(err).Proto()); strings.Contains(text, secret) {
		t.Errorf("private text reaches the client: %s", text)
	}
}

// watch opens WatchRun and returns how it ended.
func (b *bench) watch(ctx context.Context, req *controlv1.WatchRunRequest) error {
	stream, err := b.control.WatchRun(ctx, req)
	if err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// sendLogs opens StreamLogs, sends lines, half-closes, and returns how it ended.
func (b *bench) sendLogs(ctx context.Context, lines ...*agentv1.LogLine) error {
	stream, err := b.agent.StreamLogs(ctx)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if err := stream.Send(line); err != nil {
			break // Recv tells why
		}
	}
	_ = stream.CloseSend()
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
