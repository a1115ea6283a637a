package agentrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/interceptor"
)

// dial serves s on bufconn until the test ends, and returns a client of it.
func dial(t *testing.T, s *Server, options ...grpc.ServerOption) agentv1.AgentServiceClient {
	t.Helper()
	srv := grpc.NewServer(options...)
	agentv1.RegisterAgentServiceServer(srv, s)
	listener := bufconn.Listen(1 << 16)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener)
	}()
	conn, err := grpc.NewClient("passthrough:///bufnet", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		srv.GracefulStop() // waits for the handlers
		<-served
	})
	return agentv1.NewAgentServiceClient(conn)
}

// outgoing is the context of a client's call.
func outgoing(t *testing.T, token string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func openLogs(t *testing.T, client agentv1.AgentServiceClient, ctx context.Context) grpc.BidiStreamingClient[agentv1.LogLine, agentv1.LogAck] { //nolint:revive // a helper takes t first
	t.Helper()
	stream, err := client.StreamLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func send(t *testing.T, stream grpc.BidiStreamingClient[agentv1.LogLine, agentv1.LogAck], l *agentv1.LogLine) {
	t.Helper()
	if err := stream.Send(l); err != nil {
		t.Fatal(err)
	}
}

// readAcks reads to the stream's end and returns the acks and the error; nil: its proper end.
func readAcks(stream grpc.BidiStreamingClient[agentv1.LogLine, agentv1.LogAck]) ([]string, error) {
	var acks []string
	for {
		ack, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return acks, nil
		}
		if err != nil {
			return acks, err
		}
		acks = append(acks, ackText(ack))
	}
}

func TestLog5OverTheWireAPlainSinkAcksOnceAStream(t *testing.T) {
	r := equipped()
	stream := openLogs(t, dial(t, r.Server), outgoing(t, "good"))
	for i := int64(1); i <= 500; i++ {
		send(t, stream, line("stdout", i, "x"))
		send(t, stream, line("stderr", i, "y"))
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	acks, err := readAcks(stream)
	if err != nil || !slices.Equal(acks, []string{"stdout:500", "stderr:500"}) {
		t.Errorf("acks %v, %v", acks, err)
	}
	if n := r.count("Close"); n != 1 {
		t.Errorf("closed %d times", n)
	}
}

func TestLog12OverTheWireAcksReadOnlyAfterHalfClosingDoNotHang(t *testing.T) {
	r := newLineRig()
	stream := openLogs(t, dial(t, r.Server), outgoing(t, "good"))
	const lines = 50_000
	for i := int64(1); i <= lines; i++ {
		send(t, stream, line("stdout", i, "a line of a task"))
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	acks, err := readAcks(stream)
	if err != nil || len(acks) == 0 || acks[len(acks)-1] != "stdout:50000" {
		t.Errorf("%d acks, %v", len(acks), err)
	}
	if n := len((<-r.sink.opened).kept()); n != lines {
		t.Errorf("kept %d lines", n)
	}
}

func TestLog12OverTheWireAClientThatReadsNothingAndLeaves(t *testing.T) {
	r := newLineRig()
	client := dial(t, r.Server)
	ctx, leave := context.WithCancel(outgoing(t, "good"))
	closed := make(chan struct{})
	r.at("Close", func(context.Context) error {
		close(closed)
		return nil
	})
	stream := openLogs(t, client, ctx)
	const lines = 20_000
	for i := int64(1); i <= lines; i++ {
		send(t, stream, line("stdout", i, "x"))
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	await(t, closed, "the close of the writer")
	leave()
	if n := len((<-r.sink.opened).kept()); n != lines {
		t.Errorf("kept %d lines", n)
	}
}

func TestOverTheWireAClientThatLeavesClosesTheWriter(t *testing.T) {
	for name, lines := range map[string]bool{"plain": false, "acknowledging": true} {
		t.Run(name, func(t *testing.T) {
			r := newLineRig()
			if !lines {
				r.SetLogSink(plainSink{r.script})
			}
			closed, taken := make(chan struct{}), make(chan struct{})
			r.at("Close", func(context.Context) error {
				close(closed)
				return nil
			})
			r.SetLogPublisher(fakePublisher{r.script})
			r.at("Publish", func(context.Context) error {
				close(taken)
				return nil
			})
			ctx, leave := context.WithCancel(outgoing(t, "good"))
			stream := openLogs(t, dial(t, r.Server), ctx)
			send(t, stream, line("stdout", 1, "x"))
			await(t, taken, "the line")
			leave()
			await(t, closed, "the close of the writer")
		})
	}
}

// TestLog10And13OverTheWireTheEndIsTold has a clock of its own: a server that ends a call waits
// for the last acks but briefly, and they are to come however slow the test is.
func TestLog10And13OverTheWireTheEndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLineRig()
		client := dial(t, r.Server)
		older := openLogs(t, client, outgoing(t, "good"))
		send(t, older, line("stdout", 1, "x"))
		if ack, err := older.Recv(); err != nil || ackText(ack) != "stdout:1" {
			t.Fatalf("ack %v, %v", ack, err)
		}
		newer := openLogs(t, client, outgoing(t, "good"))
		send(t, newer, line("stdout", 2, "y"))
		_, err := readAcks(older)
		wantCode(t, err, codes.Aborted)
		if ack, err := newer.Recv(); err != nil || ackText(ack) != "stdout:2" {
			t.Fatalf("ack %v, %v", ack, err)
		}
		r.Drain()
		acks, err := readAcks(newer)
		wantCode(t, err, codes.Unavailable)
		if len(acks) == 0 || acks[len(acks)-1] != "stdout:2" {
			t.Errorf("last acks %v", acks)
		}
	})
}

// TestErr2BareAndChainedAnswerAlike holds that who assembles a server without the
// chain loses nothing of the outcomes, and who has it gains no other.
func TestErr2BareAndChainedAnswerAlike(t *testing.T) {
	faults := map[string]func(r *rig){
		"none":         func(*rig) {},
		"failing":      func(r *rig) { r.failAll(func(context.Context) error { return errors.New(secret) }) },
		"panicking":    func(r *rig) { r.failAll(func(context.Context) error { panic(secret) }) },
		"not attached": func(r *rig) { r.SetLogSink(nil); r.SetSecrets(nil, false) },
		"plaintext":    func(r *rig) { r.SetSecrets(plainSecrets{r.script}, false) },
	}
	for name, spoil := range faults {
		t.Run(name, func(t *testing.T) {
			bare, chained := equipped(), equipped()
			spoil(bare)
			spoil(chained)
			chain := interceptor.Chain{Guard: &chained.guard, Metrics: interceptor.NewMetrics(), Logger: chained.guard.Log()}
			clients := []agentv1.AgentServiceClient{
				dial(t, bare.Server,
					grpc.UnaryInterceptor(RecoveryUnaryInterceptor(bare.guard.Log())), grpc.StreamInterceptor(RecoveryStreamInterceptor(bare.guard.Log()))),
				dial(t, chained.Server, chain.ServerOptions()...),
			}
			for _, token := range []string{"good", "bad"} {
				for _, call := range wireCalls {
					var got [2]*status.Status
					for i, client := range clients {
						got[i] = status.Convert(call.call(outgoing(t, token), client))
						wantCode(t, got[i].Err(), got[i].Code()) // holds no secret
					}
					if got[0].Code() != got[1].Code() || got[0].Message() != got[1].Message() {
						t.Errorf("%s with a %s token: bare %v, chained %v", call.name, token, got[0], got[1])
					}
					if token == "bad" && got[0].Code() != codes.Unauthenticated {
						t.Errorf("%s with a bad token: %v", call.name, got[0])
					}
				}
			}
		})
	}
}

// failAll makes every method but the authenticator's do something.
func (r *rig) failAll(do func(context.Context) error) {
	for _, methods := range failing {
		for _, method := range methods {
			r.at(method, do)
		}
	}
	r.at("RecordHeartbeat", do)
}

type wireCall struct {
	name string
	call func(ctx context.Context, c agentv1.AgentServiceClient) error
}

// wireCalls are rpcs as a client makes them, and some with invalid requests.
var wireCalls = []wireCall{
	{"Register", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.Register(ctx, &agentv1.RegisterRequest{})
		return err
	}},
	{"GetTaskSpec", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.GetTaskSpec(ctx, &agentv1.GetTaskSpecRequest{})
		return err
	}},
	{"FetchXCom", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.FetchXCom(ctx, &agentv1.FetchXComRequest{UpstreamTaskId: "extract"})
		return err
	}},
	{"FetchXCom, undeclared", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.FetchXCom(ctx, &agentv1.FetchXComRequest{UpstreamTaskId: "another"})
		return err
	}},
	{"FetchXCom, invalid", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.FetchXCom(ctx, &agentv1.FetchXComRequest{})
		return err
	}},
	{"PushXCom", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.PushXCom(ctx, &agentv1.PushXComRequest{})
		return err
	}},
	{"ReportState", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.ReportState(ctx, &agentv1.ReportStateRequest{State: stateFailed})
		return err
	}},
	{"ReportState, invalid", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.ReportState(ctx, &agentv1.ReportStateRequest{})
		return err
	}},
	{"Heartbeat", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.Heartbeat(ctx, &agentv1.HeartbeatRequest{})
		return err
	}},
	{"GetVariables", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.GetVariables(ctx, &agentv1.GetVariablesRequest{})
		return err
	}},
	{"GetConnections", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		_, err := c.GetConnections(ctx, &agentv1.GetConnectionsRequest{})
		return err
	}},
	{"StreamLogs", func(ctx context.Context, c agentv1.AgentServiceClient) error {
		stream, err := c.StreamLogs(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(line("stdout", 1, "x")); err == nil {
			_ = stream.CloseSend()
		} // else the end of the stream tells why
		_, err = readAcks(stream)
		return err
	}},
}
