package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// deadline bounds every wait of these tests; nothing takes a part of it when right.
const deadline = 2 * time.Minute

const token = "the.token.of-the-attempt"

// program is the command, built once.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leoflow-agent-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // other users run what is in it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "leoflow-agent")
	build := exec.Command("go", "build", "-race=false", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// bare is a control plane that knows the protocol as it first was: no field from 100
// on, no renewed token, acks that name no stream and come at the end alone.
type bare struct {
	agentv1.UnimplementedAgentServiceServer
	spec   *agentv1.TaskSpec
	values map[string]string // by task
	secret string
	beaten func() (terminate bool) // nil: no

	mu      sync.Mutex
	calls   []string
	lines   []*agentv1.LogLine
	changed chan struct{} // closed and replaced with each line
	pushes  []*agentv1.PushXComRequest
	reports []*agentv1.ReportStateRequest
}

func newBare(script string) *bare {
	return &bare{
		spec:    &agentv1.TaskSpec{Operator: "bash", Entrypoint: script, TaskId: "task", TryNumber: 1},
		changed: make(chan struct{}),
	}
}

// serve serves it until the end of the test, and returns where.
func (b *bare) serve(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	agentv1.RegisterAgentServiceServer(srv, b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() { srv.Stop(); <-done })
	return l.Addr().String()
}

func (b *bare) called(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, name)
}

func (b *bare) Register(context.Context, *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	b.called("Register")
	return &agentv1.RegisterResponse{SessionId: "ti", ServerTime: timestamppb.Now()}, nil
}

func (b *bare) GetTaskSpec(context.Context, *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	b.called("GetTaskSpec")
	return b.spec, nil
}

func (b *bare) FetchXCom(_ context.Context, in *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	b.called("FetchXCom " + in.GetUpstreamTaskId())
	value, ok := b.values[in.GetUpstreamTaskId()]
	if !ok {
		return nil, status.Error(codes.NotFound, "no value")
	}
	return &agentv1.FetchXComResponse{Value: []byte(value)}, nil
}

func (b *bare) GetVariables(context.Context, *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
	b.called("GetVariables")
	return &agentv1.GetVariablesResponse{Variables: map[string]string{"key": b.secret}}, nil
}

func (b *bare) GetConnections(context.Context, *agentv1.GetConnectionsRequest) (*agentv1.GetConnectionsResponse, error) {
	b.called("GetConnections")
	return nil, status.Error(codes.PermissionDenied, "not over this channel") // a warning only
}

func (b *bare) Heartbeat(context.Context, *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	reply := &agentv1.HeartbeatResponse{ServerTime: timestamppb.Now()}
	if b.beaten != nil {
		reply.ShouldTerminate = b.beaten()
	}
	return reply, nil
}

func (b *bare) PushXCom(_ context.Context, in *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	b.called("PushXCom")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pushes = append(b.pushes, in)
	return &agentv1.PushXComResponse{Accepted: true}, nil
}

func (b *bare) ReportState(_ context.Context, in *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	b.called(in.GetState().String())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = append(b.reports, in)
	return &agentv1.ReportStateResponse{Acknowledged: true}, nil
}

func (b *bare) StreamLogs(stream agentv1.AgentService_StreamLogsServer) error {
	b.called("StreamLogs")
	through := map[string]int64{}
	for {
		line, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		through[line.GetStream()] = line.GetLineNumber()
		b.mu.Lock()
		b.lines = append(b.lines, line)
		close(b.changed)
		b.changed = make(chan struct{})
		b.mu.Unlock()
	}
	for _, n := range through {
		if err := stream.Send(&agentv1.LogAck{AcknowledgedThroughLine: n}); err != nil {
			return err
		}
	}
	return nil
}

// texts returns the messages of a stream.
func (b *bare) texts(stream string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, line := range b.lines {
		if line.GetStream() == stream {
			out = append(out, line.GetMessage())
		}
	}
	return out
}

// awaitLine waits for a line of a stream.
func (b *bare) awaitLine(t *testing.T, stream, text string) {
	t.Helper()
	over := time.After(deadline)
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if slices.Contains(b.texts(stream), text) {
			return
		}
		select {
		case <-changed:
		case <-over:
			t.Fatalf("no line %q in %q", text, b.texts(stream))
		}
	}
}

// wantOutcome holds that the last of two reports is this one.
func (b *bare) wantOutcome(t *testing.T, state agentv1.TaskState, code int32, message string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.reports) != 2 || b.reports[0].GetState() != agentv1.TaskState_TASK_STATE_RUNNING {
		t.Fatalf("reported %v", b.reports)
	}
	if got := b.reports[1]; got.GetState() != state || got.GetExitCode() != code || got.GetErrorMessage() != message {
		t.Errorf("reported %v; want %v, code %d, %q", got, state, code, message)
	}
}

// agentRun is the program under way.
type agentRun struct {
	t    *testing.T
	cmd  *exec.Cmd
	said bytes.Buffer
}

// command serves the control plane, and returns the program about to run against it.
func command(t *testing.T, b *bare) *agentRun {
	t.Helper()
	addr := b.serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	r := &agentRun{t: t, cmd: exec.CommandContext(ctx, program)}
	temp := t.TempDir()
	if err := os.Chmod(filepath.Dir(temp), 0o755); err != nil { // another user may run it
		t.Fatal(err)
	}
	r.cmd.Dir = temp
	r.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + temp,
		"LEOFLOW_CONTROL_PLANE_ADDR=" + addr, "LEOFLOW_AGENT_TOKEN=" + token, "LEOFLOW_AGENT_INSECURE=true",
	}
	r.cmd.Stdout, r.cmd.Stderr = &r.said, &r.said
	r.cmd.WaitDelay = deadline
	return r
}

func (r *agentRun) start() {
	r.t.Helper()
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.cmd.Process.Kill() })
}

func (r *agentRun) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// end waits for the program to end well, and looks for what it left behind.
func (r *agentRun) end() {
	r.t.Helper()
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("%v; it said\n%s", err, r.said.String())
	}
	if left, err := os.ReadDir(r.cmd.Dir); err != nil || len(left) > 0 {
		r.t.Errorf("left behind: %v, %v", left, err)
	}
	if bytes.Contains(r.said.Bytes(), []byte(token)) {
		r.t.Error("A-START-1: it says the token")
	}
}
