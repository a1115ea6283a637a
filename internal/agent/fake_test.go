package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

const (
	testToken = "first.token.of-the-attempt"
	patient   = 60 * time.Second // after which a test that waits for an event fails
)

type (
	lineStream = agentv1.AgentService_StreamLogsServer
	report     = agentv1.ReportStateRequest
)

// fake is a control plane that does as its script says, and writes down what it is
// asked. A nil step of the script answers plainly.
type fake struct {
	agentv1.UnimplementedAgentServiceServer
	spec     *agentv1.TaskSpec
	onCall   func(method string, nth int) error
	onFetch  func(task string) (*agentv1.FetchXComResponse, error)
	onPush   func(*agentv1.PushXComRequest) (*agentv1.PushXComResponse, error)
	onReport func(*report) (*agentv1.ReportStateResponse, error)
	onBeat   func(ctx context.Context, nth int) (*agentv1.HeartbeatResponse, error)
	onStream func(nth int, stream lineStream) error
	vars     map[string]string
	conns    map[string]string
	creds    credentials.TransportCredentials

	mu      sync.Mutex
	order   []string
	tokens  map[string]bool
	counts  map[string]int
	reports []*report
	pushes  []*agentv1.PushXComRequest
	lines   []*agentv1.LogLine
}

func (f *fake) enter(ctx context.Context, method string) (int, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	f.mu.Lock()
	f.counts[method]++
	nth := f.counts[method]
	auth := md.Get("authorization")
	f.tokens[method+" "+join(auth)] = true
	f.mu.Unlock()
	if f.onCall != nil {
		if err := f.onCall(method, nth); err != nil {
			return nth, err
		}
	}
	return nth, nil
}

func join(values []string) string {
	if len(values) != 1 {
		return "not exactly one token"
	}
	return values[0]
}

func (f *fake) Register(ctx context.Context, _ *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	_, err := f.enter(ctx, "Register")
	return &agentv1.RegisterResponse{}, err
}

func (f *fake) GetTaskSpec(ctx context.Context, _ *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	_, err := f.enter(ctx, "GetTaskSpec")
	return f.spec, err
}

func (f *fake) FetchXCom(ctx context.Context, in *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	if _, err := f.enter(ctx, "FetchXCom"); err != nil {
		return nil, err
	}
	if f.onFetch == nil {
		return nil, status.Error(codes.NotFound, "no value")
	}
	return f.onFetch(in.GetUpstreamTaskId())
}

func (f *fake) GetVariables(ctx context.Context, _ *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
	_, err := f.enter(ctx, "GetVariables")
	return &agentv1.GetVariablesResponse{Variables: f.vars}, err
}

func (f *fake) GetConnections(ctx context.Context, _ *agentv1.GetConnectionsRequest) (*agentv1.GetConnectionsResponse, error) {
	_, err := f.enter(ctx, "GetConnections")
	return &agentv1.GetConnectionsResponse{ConnectionUris: f.conns}, err
}

func (f *fake) PushXCom(ctx context.Context, in *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	if _, err := f.enter(ctx, "PushXCom"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.pushes = append(f.pushes, in)
	f.mu.Unlock()
	if f.onPush != nil {
		return f.onPush(in)
	}
	return &agentv1.PushXComResponse{Accepted: true}, nil
}

func (f *fake) ReportState(ctx context.Context, in *report) (*agentv1.ReportStateResponse, error) {
	if _, err := f.enter(ctx, "ReportState "+in.GetState().String()[len("TASK_STATE_"):]); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.reports = append(f.reports, in)
	f.mu.Unlock()
	if f.onReport != nil {
		return f.onReport(in)
	}
	return &agentv1.ReportStateResponse{Acknowledged: true}, nil
}

func (f *fake) Heartbeat(ctx context.Context, _ *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	nth, err := f.enter(ctx, "Heartbeat")
	if err != nil || f.onBeat == nil {
		return &agentv1.HeartbeatResponse{}, err
	}
	return f.onBeat(ctx, nth)
}

func (f *fake) StreamLogs(stream lineStream) error {
	nth, err := f.enter(stream.Context(), "StreamLogs")
	if err != nil {
		return err
	}
	if f.onStream != nil {
		return f.onStream(nth, stream)
	}
	through, err := f.take(stream, nil)
	if err != nil {
		return err
	}
	for name, n := range through {
		if err := stream.Send(&agentv1.LogAck{Stream: name, AcknowledgedThroughLine: n}); err != nil {
			return err
		}
	}
	return nil
}

// take keeps lines until the client half-closes, or until enough says so.
func (f *fake) take(stream lineStream, enough func(*agentv1.LogLine) bool) (map[string]int64, error) {
	through := map[string]int64{}
	for {
		line, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return through, nil
		}
		if err != nil {
			return through, err
		}
		f.mu.Lock()
		f.lines = append(f.lines, line)
		f.mu.Unlock()
		through[line.GetStream()] = line.GetLineNumber()
		if enough != nil && enough(line) {
			return through, nil
		}
	}
}

// upon takes lines, and does something when a certain one comes.
func (f *fake) upon(message string, do func()) func(int, lineStream) error {
	return func(_ int, s lineStream) error {
		_, err := f.take(s, func(line *agentv1.LogLine) bool {
			if line.GetMessage() == message {
				do()
			}
			return false
		})
		return err
	}
}

// texts returns the messages of a stream, in the order in which they came.
func (f *fake) texts(stream string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, line := range f.lines {
		if line.GetStream() == stream {
			out = append(out, line.GetMessage())
		}
	}
	return out
}

func (f *fake) called(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[method]
}

// used, counted and arrived return copies of what the fake wrote down: a heartbeat that
// the agent has given up may still arrive when the agent has ended.
func (f *fake) used() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.tokens)
}

func (f *fake) counted() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}

func (f *fake) arrived() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.order)
}

// terminal returns the one terminal report, which must be the last one (A-RUN-1).
func (f *fake) terminal(t *testing.T) *report {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var ends []*report
	for _, r := range f.reports {
		if r.GetState() != agentv1.TaskState_TASK_STATE_RUNNING {
			ends = append(ends, r)
		}
	}
	if len(ends) != 1 || ends[0] != f.reports[len(f.reports)-1] {
		t.Fatalf("want exactly one terminal report, as the last one; got %v", f.reports)
	}
	return ends[0]
}

func bash(script string) *agentv1.TaskSpec {
	return &agentv1.TaskSpec{Operator: "bash", Entrypoint: script, TaskId: "task", TryNumber: 1}
}

// listen serves f on addr until the returned function is called, or the test ends.
func (f *fake) listen(t *testing.T, addr string) (string, func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	// Handlers run side by side; the tap sees the calls in the order of their arrival.
	opts := []grpc.ServerOption{grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.order = append(f.order, path.Base(info.FullMethodName))
		return ctx, nil
	})}
	if f.creds != nil {
		opts = append(opts, grpc.Creds(f.creds))
	}
	srv := grpc.NewServer(opts...)
	agentv1.RegisterAgentServiceServer(srv, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	stop := sync.OnceFunc(func() { srv.Stop(); <-done })
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// bench is an agent about to run against a fake.
type bench struct {
	cfg  Config
	pace pace
	log  syncBuffer
}

func newBench(t *testing.T, f *fake) *bench {
	t.Helper()
	t.Cleanup(func() { wantNoLeak(t) })
	f.counts, f.tokens = map[string]int{}, map[string]bool{}
	addr, _ := f.listen(t, "127.0.0.1:0")
	b := &bench{pace: defaultPace}
	b.pace.firstWait, b.pace.maxWait = 2*time.Millisecond, 50*time.Millisecond
	b.pace.beat, b.pace.minBeat = 20*time.Millisecond, time.Millisecond
	b.pace.stall = 100 * time.Millisecond
	// What a slow machine takes long for is waited for: a reader of an output that has ended,
	// the answer to a heartbeat, and the reason why a log stream ended.
	b.pace.linger, b.pace.minTry, b.pace.status = patient, patient, patient
	b.pace.refusedBeats, b.pace.logTries = 3, 3
	b.cfg = Config{
		Addr: addr, Token: testToken, Plaintext: true, Version: "test", Grace: 30 * time.Second,
		TempDir: t.TempDir(), Environ: []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
		Logger: slog.New(slog.NewTextHandler(&b.log, nil)), pace: &b.pace,
	}
	return b
}

// wantNoLeak looks for goroutines that are left. What was told to end may take its time.
func wantNoLeak(t *testing.T) {
	t.Helper()
	over := time.Now().Add(patient)
	err := goleak.Find()
	for err != nil && time.Now().Before(over) {
		err = goleak.Find()
	}
	if err != nil {
		t.Error(err)
	}
}

// run runs the agent to its end.
func (b *bench) run(t *testing.T) int {
	t.Helper()
	return b.runCtx(t.Context(), t)
}

func (b *bench) runCtx(ctx context.Context, t *testing.T) int {
	t.Helper()
	code := make(chan int, 1)
	go func() { code <- Run(ctx, b.cfg) }()
	return await(t, code, "the end of the agent")
}

// await waits for an event.
func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patient):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

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

func wantOutcome(t *testing.T, got *report, state agentv1.TaskState, code int32, message string) {
	t.Helper()
	if got.GetState() != state || got.GetExitCode() != code || got.GetErrorMessage() != message {
		t.Errorf("reported %v, code %d, %q; want %v, code %d, %q",
			got.GetState(), got.GetExitCode(), got.GetErrorMessage(), state, code, message)
	}
	if !got.GetOccurredAt().IsValid() {
		t.Error("a report without a time")
	}
}

const (
	success = agentv1.TaskState_TASK_STATE_SUCCESS
	failure = agentv1.TaskState_TASK_STATE_FAILED
)

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
}
