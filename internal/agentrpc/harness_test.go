package agentrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

const (
	// secret stands for whatever private text an error or a panic carries.
	secret = "secret-cause-text"
	// patient bounds every wait on real time; nothing takes a part of it when right.
	patient = time.Minute
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
		if line == "" {
			continue
		}
		record := map[string]any{}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if record["msg"] == message {
			out = append(out, record)
		}
	}
	return out
}

// rig is a server over fakes, with no interceptor in front.
type rig struct {
	*Server
	*script
	log *syncBuffer
}

// newRig returns a bare server with three fakes that implement just the interfaces.
func newRig() *rig {
	s := newScript()
	return rigOf(s, plainStore{s}, plainXCom{s})
}

func rigOf(s *script, store Store, xcoms XComService) *rig {
	r := &rig{Server: unhurried(NewServer(fakeAuthn{s}, store, xcoms)), script: s, log: &syncBuffer{}}
	r.SetLogger(slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	return r
}

// unhurried is a server whose heartbeats wait for the store's word as long as it takes: on real
// time it may be slow to come.
func unhurried(s *Server) *Server {
	s.beats.wait = patient
	return s
}

// hurried has heartbeats wait for as long as a server's do, where time is the test's own.
func (r *rig) hurried() *rig {
	r.beats.wait = NewServer(fakeAuthn{r.script}, plainStore{r.script}, plainXCom{r.script}).beats.wait
	return r
}

// equipped is newRig with a plain sink, a publisher and secrets attached.
func equipped() *rig {
	r := newRig()
	r.attach()
	return r
}

// enriched is equipped, but that every part can do all that it may.
func enriched() *rig {
	s := newScript()
	r := rigOf(s, newRichStore(s), attemptXCom{plainXCom{s}, time.Hour})
	r.attach()
	r.SetSecrets(deliveringSecrets{plainSecrets{s}}, true)
	return r
}

func (r *rig) attach() {
	r.SetLogSink(plainSink{r.script})
	r.SetLogPublisher(fakePublisher{r.script})
	r.SetSecrets(plainSecrets{r.script}, true)
}

// touched lists what the parts behind the authenticator were asked.
func (r *rig) touched() []string {
	return slices.DeleteFunc(r.asked(), func(m string) bool { return m == "AuthenticateAgent" })
}

// bearing returns the context of a call that carries a token.
func bearing(ctx context.Context, token string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
}

// good is the context of a call of testIdentity.
func good(t *testing.T) context.Context {
	t.Helper()
	return bearing(t.Context(), "good")
}

// onChannel is ctx of a call that came over a channel with such an AuthInfo.
func onChannel(ctx context.Context, info credentials.AuthInfo) context.Context {
	return peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{}, AuthInfo: info})
}

// fakeStream is the server's end of a StreamLogs call, made by hand.
type fakeStream struct {
	grpc.ServerStream
	ctx   context.Context       //nolint:containedctx // a stream is the carrier of its context
	in    chan *agentv1.LogLine // closed: half-closed
	end   error                 // what Recv returns once in is closed; nil: io.EOF
	taken atomic.Int64
	send  func(*agentv1.LogAck) error // nil: keeps it

	mu   sync.Mutex
	acks []*agentv1.LogAck
}

// newStream returns a stream that sends lines and half-closes.
func newStream(ctx context.Context, lines ...*agentv1.LogLine) *fakeStream {
	s := openStream(ctx, len(lines))
	for _, line := range lines {
		s.in <- line
	}
	close(s.in)
	return s
}

// openStream returns a stream that stays open.
func openStream(ctx context.Context, room int) *fakeStream {
	return &fakeStream{ctx: ctx, in: make(chan *agentv1.LogLine, room)}
}

func (s *fakeStream) Context() context.Context { return s.ctx }

func (s *fakeStream) Recv() (*agentv1.LogLine, error) {
	select {
	case line, ok := <-s.in:
		if ok {
			s.taken.Add(1)
			return line, nil
		}
		if s.end != nil {
			return nil, s.end
		}
		return nil, io.EOF
	case <-s.ctx.Done():
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
}

func (s *fakeStream) Send(ack *agentv1.LogAck) error {
	if s.send != nil {
		return s.send(ack)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acks = append(s.acks, ack)
	return nil
}

// sent lists the acks as "stream:number".
func (s *fakeStream) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.acks))
	for i, ack := range s.acks {
		out[i] = ackText(ack)
	}
	return out
}

func line(stream string, number int64, message string) *agentv1.LogLine {
	return &agentv1.LogLine{Stream: stream, LineNumber: number, Message: message}
}

// rpc is one method of the service, called with a valid request.
type rpc struct {
	name, method string
	call         func(ctx context.Context, s *Server) error
}

var rpcs = []rpc{
	{"Register", agentv1.AgentService_Register_FullMethodName, func(ctx context.Context, s *Server) error {
		_, err := s.Register(ctx, &agentv1.RegisterRequest{})
		return err
	}},
	{"GetTaskSpec", agentv1.AgentService_GetTaskSpec_FullMethodName, func(ctx context.Context, s *Server) error {
		_, err := s.GetTaskSpec(ctx, &agentv1.GetTaskSpecRequest{})
		return err
	}},
	{"FetchXCom", agentv1.AgentService_FetchXCom_FullMethodName, func(ctx context.Context, s *Server) error {
		_, err := s.FetchXCom(ctx, &agentv1.FetchXComRequest{UpstreamTaskId: "extract"})
		return err
	}},
	{"PushXCom", agentv1.AgentService_PushXCom_FullMethodName, func(ctx context.Context, s *Server) error {
		_, err := s.PushXCom(ctx, &agentv1.PushXComRequest{Value: []byte("v")})
		return err
	}},
	{"StreamLogs", agentv1.AgentService_StreamLogs_FullMethodName, func(ctx context.Context, s *Server) error {
		return s.StreamLogs(newStream(ctx, line("stdout", 1, "x")))
	}},
	{"ReportState", agentv1.AgentService_ReportState_FullMethodName, func(ctx context.Context, s *Server) error {
		_, err := s.ReportState(ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_RUNNING})
		return err
	}},
	{"Heartbeat", agentv1.AgentService_Heartbeat_FullMethodName, func(ctx context.Context, s *Server) error {
		_, err := s.Heartbeat(ctx, &agentv1.HeartbeatRequest{})
		return err
	}},
	{"GetVariables", agentv1.AgentService_GetVariables_FullMethodName, func(ctx context.Context, s *Server) error {
		_, err := s.GetVariables(ctx, &agentv1.GetVariablesRequest{})
		return err
	}},
	{"GetConnections", agentv1.AgentService_GetConnections_FullMethodName, func(ctx context.Context, s *Server) error {
		_, err := s.GetConnections(ctx, &agentv1.GetConnectionsRequest{})
		return err
	}},
}

func rpcNamed(name string) rpc {
	return rpcs[slices.IndexFunc(rpcs, func(r rpc) bool { return r.name == name })]
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("code %v (%v), want %v", got, err, want)
	}
	if text := protojson.Format(status.Convert(err).Proto()); strings.Contains(text, secret) {
		t.Errorf("private text reaches the client: %s", text)
	}
}

// wantInternal wants INTERNAL with the fixed text.
func wantInternal(t *testing.T, err error) {
	t.Helper()
	wantCode(t, err, codes.Internal)
	if message := status.Convert(err).Message(); message != "internal server error" {
		t.Errorf("message %q", message)
	}
}

// errorInfo returns the ErrorInfo of a call's error; empty where there is none.
func errorInfo(err error) *errdetails.ErrorInfo {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return &errdetails.ErrorInfo{}
}

// await waits for an event on real time.
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
