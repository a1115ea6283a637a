package mutants

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// call is a call that passes through a mutant on its way to a server of ours.
type call struct {
	ctx     context.Context
	method  string // without its service: "Heartbeat"
	md      metadata.MD
	request proto.Message // nil: a stream
}

// next makes the call at the server.
type next func(*call) (proto.Message, error)

// server is a mutant: a proxy before a server of ours, its FixtureService included, that
// does one thing wrong. The zero hooks do nothing wrong.
type server struct {
	// unary stands in for a call; nil: it is passed on.
	unary func(*server, *call, next) (proto.Message, error)
	// stream changes the metadata of a StreamLogs call; nil: it is passed on.
	stream func(*server, metadata.MD) metadata.MD
	// line changes what a StreamLogs call sends, and ack what comes back; a nil result
	// of ack is left out. newLine is made for each call.
	newLine func(*server) func(*agentv1.LogLine) []*agentv1.LogLine
	ack     func(*agentv1.LogAck) *agentv1.LogAck
	// opened may answer a StreamLogs call instead, and closed changes how one ends, by who
	// calls.
	opened func(*server, metadata.MD) (answered bool, err error)
	closed func(*server, metadata.MD, error) error
	// ended changes how a StreamLogs call ends.
	ended func(error) error
	// late: the acknowledgement of a first line goes out at the end, where no other comes.
	late bool
	// perLine: besides, the latest acknowledgement goes out for each line after it, where
	// lines are received.
	perLine bool
	// takes is the limit of a message, in bytes; 0: that of the server.
	takes int
	// options are of its transport.
	options []grpc.ServerOption

	conn, fixture grpc.ClientConnInterface

	mu   sync.Mutex
	kept map[string]any // what a mutant remembers
}

// keep remembers a thing, and returns what was remembered under that name before.
func (s *server) keep(name string, value any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.kept[name]
	s.kept[name] = value
	return before
}

// recall returns what is remembered.
func (s *server) recall(name string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[name]
}

// serve serves the mutant on a free port of this machine until stop is called.
func (s *server) serve(ctx context.Context, conn, fixture grpc.ClientConnInterface) (addr string, stop func(), err error) {
	s.conn, s.fixture, s.kept = conn, fixture, map[string]any{}
	// A peer that says nothing never gets as far as the server itself.
	options := []grpc.ServerOption{grpc.UnknownServiceHandler(s.handle), grpc.ConnectionTimeout(handshakeWithin)}
	if s.takes > 0 {
		options = append(options, grpc.MaxRecvMsgSize(s.takes))
	}
	return listen(ctx, grpc.NewServer(append(options, s.options...)...))
}

// handshakeWithin is the time that the testbed's server gives a peer.
const handshakeWithin = 3 * time.Second

func listen(ctx context.Context, server *grpc.Server) (addr string, stop func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // it ends when it is stopped
	}()
	return l.Addr().String(), func() { server.Stop(); <-ended }, nil
}

// handle is every method of every service.
func (s *server) handle(_ any, incoming grpc.ServerStream) error {
	ctx := incoming.Context()
	full, _ := grpc.MethodFromServerStream(incoming)
	md, _ := metadata.FromIncomingContext(ctx)
	out := metadata.MD{}
	for key, values := range md {
		if !strings.HasPrefix(key, ":") && key != "content-type" && key != "user-agent" && !strings.HasPrefix(key, "grpc-") {
			out[key] = values
		}
	}
	if full == agentv1.AgentService_StreamLogs_FullMethodName {
		return s.logs(ctx, out, incoming)
	}
	method, err := find(full)
	if err != nil {
		return err
	}
	request := message(method.Input())
	if err := incoming.RecvMsg(request); err != nil {
		return err
	}
	c := &call{ctx: ctx, method: string(method.Name()), md: out, request: request}
	pass := func(c *call) (proto.Message, error) { return s.pass(full, method, c) }
	var reply proto.Message
	if s.unary != nil {
		reply, err = s.unary(s, c, pass)
	} else {
		reply, err = pass(c)
	}
	if errors.Is(err, io.EOF) {
		return nil // a stream without a message
	}
	if err != nil {
		return err
	}
	return incoming.SendMsg(reply)
}

// pass makes a call at the server; of a stream from it, up to the first message. One that
// ends without is io.EOF.
func (s *server) pass(full string, method protoreflect.MethodDescriptor, c *call) (proto.Message, error) {
	conn := s.conn
	if strings.HasPrefix(full, "/"+conformancev1.FixtureService_ServiceDesc.ServiceName+"/") {
		conn = s.fixture
	}
	ctx := metadata.NewOutgoingContext(c.ctx, c.md)
	reply := message(method.Output())
	if !method.IsStreamingServer() {
		err := conn.Invoke(ctx, full, c.request, reply)
		if got, ok := reply.(*conformancev1.PrepareAttemptResponse); ok && err == nil {
			s.keep("given Bearer "+got.GetToken(), true)
		}
		return reply, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, full)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(stream.SendMsg(c.request), stream.CloseSend()); err != nil {
		return nil, err
	}
	return reply, stream.RecvMsg(reply)
}

func find(full string) (protoreflect.MethodDescriptor, error) {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(full, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	method, ok := d.(protoreflect.MethodDescriptor)
	if err != nil || !ok {
		return nil, status.Errorf(codes.Unimplemented, "there is no %s", full)
	}
	return method, nil
}

func message(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err) // a descriptor comes with its type
	}
	return t.New().Interface()
}

// logs passes a StreamLogs call on, both ways at once.
func (s *server) logs(ctx context.Context, md metadata.MD, incoming grpc.ServerStream) error {
	if s.opened != nil {
		if answered, err := s.opened(s, md); answered {
			return err
		}
	}
	if s.stream != nil {
		md = s.stream(s, md)
	}
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(ctx, md))
	defer cancel()
	stream, err := agentv1.NewAgentServiceClient(s.conn).StreamLogs(ctx)
	if err != nil {
		return err
	}
	line := func(l *agentv1.LogLine) []*agentv1.LogLine { return []*agentv1.LogLine{l} }
	if s.newLine != nil {
		line = s.newLine(s)
	}
	back := &sender{ServerStream: incoming}
	refused := make(chan error, 1) // by the transport: a line that was too large
	go func() {
		if err := s.receive(back, stream, line); !errors.Is(err, io.EOF) {
			refused <- err
			cancel()
		}
		_ = stream.CloseSend() // how the stream ended is told by what is received
	}()
	err = s.acks(back, stream)
	select {
	case err = <-refused:
	default:
	}
	if err = s.end(err); s.closed != nil {
		err = s.closed(s, md, err)
	}
	return err
}

// receive passes lines on until there are no more, which is io.EOF, or they are refused.
func (s *server) receive(incoming *sender, stream agentv1.AgentService_StreamLogsClient, line func(*agentv1.LogLine) []*agentv1.LogLine) error {
	for {
		l := new(agentv1.LogLine)
		if err := incoming.RecvMsg(l); err != nil {
			return err
		}
		if s.perLine {
			if err := incoming.again(l.GetStream()); err != nil {
				return err
			}
		}
		for _, l := range line(l) {
			if stream.Send(l) != nil {
				return io.EOF
			}
		}
	}
}

// acks passes acknowledgements back until the call ends.
func (s *server) acks(incoming *sender, stream agentv1.AgentService_StreamLogsClient) error {
	held := map[string]*agentv1.LogAck{}
	for {
		ack, err := stream.Recv()
		if err != nil {
			for _, ack := range held {
				err = errors.Join(err, incoming.send(ack))
			}
			return err
		}
		if s.late && ack.GetAcknowledgedThroughLine() <= 1 {
			held[ack.GetStream()] = ack
			continue
		}
		delete(held, ack.GetStream())
		if s.ack != nil {
			ack = s.ack(ack)
		}
		if ack != nil {
			if err := incoming.send(ack); err != nil {
				return err
			}
		}
	}
}

// sender sends acknowledgements from wherever, and remembers the latest of each stream.
type sender struct {
	grpc.ServerStream

	mu     sync.Mutex
	latest map[string]int64
}

func (s *sender) send(ack *agentv1.LogAck) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest == nil {
		s.latest = map[string]int64{}
	}
	s.latest[ack.GetStream()] = ack.GetAcknowledgedThroughLine()
	return s.SendMsg(ack)
}

// again sends the latest acknowledgement of a stream once more, if there is one.
func (s *sender) again(stream string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	line, ok := s.latest[stream]
	if !ok {
		return nil
	}
	return s.SendMsg(&agentv1.LogAck{Stream: stream, AcknowledgedThroughLine: line})
}

func (s *server) end(err error) error {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if s.ended != nil {
		err = s.ended(err)
	}
	return err
}

// authorizationOf is the authorization that metadata carries; empty: none.
func authorizationOf(md metadata.MD) string {
	values := md.Get("authorization")
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// tokenOf is the token that metadata carries, also one without its scheme; empty: none.
func tokenOf(md metadata.MD) string { return strings.TrimPrefix(authorizationOf(md), "Bearer ") }

// gave reports whether a call comes with the token of an attempt that was prepared, as it
// was given.
func (s *server) gave(md metadata.MD) bool { return s.recall("given "+authorizationOf(md)) != nil }

func withToken(md metadata.MD, token string) metadata.MD {
	md = md.Copy()
	md.Set("authorization", "Bearer "+token)
	return md
}

// claims are what a token says, whoever signed it.
type claims struct {
	Algorithm string
	Issuer    string   `json:"iss"`
	Audience  audience `json:"aud"`
	Subject   string   `json:"sub"`
	Tenant    string   `json:"tenant_id"`
	Dag       string   `json:"dag_id"`
	Run       string   `json:"run_id"`
	Task      string   `json:"task_id"`
	Try       int32    `json:"try_number"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
}

// audience is one text or a list of them.
type audience []string

// UnmarshalJSON takes both.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// read reads a token; of what is none, nothing.
func read(token string) claims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}
	}
	var c claims
	var header struct {
		Algorithm string `json:"alg"`
	}
	for i, into := range []any{&header, &c} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(text, into) != nil {
			return claims{}
		}
	}
	c.Algorithm = header.Algorithm
	return c
}

// key names the attempt among all.
func (c claims) key() string { return keyOf(c.ref()) }

func keyOf(ref *conformancev1.AttemptRef) string {
	return strings.Join([]string{
		ref.GetTenantId(), ref.GetDagId(), ref.GetRunId(), ref.GetTaskId(), ref.GetTaskInstanceId(), strconv.Itoa(int(ref.GetTryNumber())),
	}, "/")
}

func (c claims) ref() *conformancev1.AttemptRef {
	return &conformancev1.AttemptRef{
		TenantId: c.Tenant, DagId: c.Dag, RunId: c.Run, TaskId: c.Task, TaskInstanceId: c.Subject, TryNumber: c.Try,
	}
}

// good makes a good token that says the same.
func (s *server) good(ctx context.Context, c claims) string {
	got, err := conformancev1.NewFixtureServiceClient(s.fixture).MintToken(ctx, &conformancev1.MintTokenRequest{Attempt: c.ref()})
	if err != nil {
		return ""
	}
	return got.GetToken()
}

// stored is what the server holds of a caller's attempt.
func (s *server) stored(c *call) *conformancev1.GetAttemptResponse {
	who := read(tokenOf(c.md))
	got, err := conformancev1.NewFixtureServiceClient(s.fixture).GetAttempt(c.ctx, &conformancev1.GetAttemptRequest{Attempt: who.ref()})
	if err != nil {
		return &conformancev1.GetAttemptResponse{}
	}
	return got
}
