package drill

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// fakePlane answers as its fields say.
type fakePlane struct {
	agentv1.UnimplementedAgentServiceServer
	report  *agentv1.ReportStateResponse
	refusal error // of reports
	push    *agentv1.PushXComResponse
	acks    []*agentv1.LogAck // sent once a stream is half-closed
	broken  error             // ends such a stream
}

func (f *fakePlane) ReportState(ctx context.Context, _ *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	_ = grpc.SetHeader(ctx, metadata.Pairs("asked", strings.Join(md.Get("question"), ",")))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("after", "all"))
	return f.report, f.refusal
}

func (f *fakePlane) PushXCom(context.Context, *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	return f.push, nil
}

func (f *fakePlane) FetchXCom(_ context.Context, req *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	return &agentv1.FetchXComResponse{Value: []byte(req.GetKey())}, nil
}

func (f *fakePlane) StreamLogs(stream grpc.BidiStreamingServer[agentv1.LogLine, agentv1.LogAck]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	for _, ack := range f.acks {
		if err := stream.Send(ack); err != nil {
			return err
		}
	}
	return f.broken
}

// serveFake serves at addr until the test ends, or stop is called.
func serveFake(t *testing.T, addr string, f *fakePlane) (at string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxFrame))
	agentv1.RegisterAgentServiceServer(server, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	stop = func() { server.Stop(); <-done }
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// through is a client behind a proxy, with a token of the attempt.
func through(t *testing.T, target string, r *Recorder) (agentv1.AgentServiceClient, context.Context) {
	t.Helper()
	proxy, err := StartProxy(r, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(proxy.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxFrame)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	claims := `{"tenant_id": "default", "dag_id": "drill", "run_id": "run", "task_id": "m1_2", "try_number": 1}`
	token := fmt.Sprintf("e30.%s.c2ln", base64.RawURLEncoding.EncodeToString([]byte(claims)))
	return agentv1.NewAgentServiceClient(conn), metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token, "question", "why")
}

// TestProxyPassesEverythingOn holds metadata, header, trailer, size, and the details of
// a refusal.
func TestProxyPassesEverythingOn(t *testing.T) {
	fake := &fakePlane{report: &agentv1.ReportStateResponse{Acknowledged: true}}
	addr, _ := serveFake(t, "127.0.0.1:0", fake)
	client, ctx := through(t, addr, NewRecorder())
	var header, trailer metadata.MD
	reply, err := client.ReportState(ctx, &agentv1.ReportStateRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || !reply.GetAcknowledged() || header.Get("asked")[0] != "why" || trailer.Get("after")[0] != "all" {
		t.Errorf("%v, %v, header %v, trailer %v", reply, err, header, trailer)
	}
	large := strings.Repeat("x", 10<<20)
	if value, err := client.FetchXCom(ctx, &agentv1.FetchXComRequest{Key: large}); err != nil || string(value.GetValue()) != large {
		t.Errorf("a large value: %d bytes, %v", len(value.GetValue()), err)
	}
	refusal, err := status.New(codes.FailedPrecondition, "no").WithDetails(&errdetails.ErrorInfo{Reason: "BECAUSE"})
	if err != nil {
		t.Fatal(err)
	}
	fake.refusal = refusal.Err()
	_, err = client.ReportState(ctx, &agentv1.ReportStateRequest{})
	st := status.Convert(err)
	if st.Code() != codes.FailedPrecondition || st.Message() != "no" || len(st.Details()) != 1 || st.Details()[0].(*errdetails.ErrorInfo).GetReason() != "BECAUSE" {
		t.Errorf("a refusal: %v, %v", err, st.Details())
	}
	if _, err := client.Register(ctx, &agentv1.RegisterRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that the server lacks: %v", err)
	}
}

// TestProxyOutlivesItsServer ends the server under an open stream, and starts another.
func TestProxyOutlivesItsServer(t *testing.T) {
	fake := &fakePlane{report: &agentv1.ReportStateResponse{Acknowledged: true}}
	addr, stop := serveFake(t, "127.0.0.1:0", fake)
	client, ctx := through(t, addr, NewRecorder())
	stream, err := client.StreamLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&agentv1.LogLine{Stream: stdout, LineNumber: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ReportState(ctx, &agentv1.ReportStateRequest{}); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the open stream: %v", err)
	}
	if _, err := client.ReportState(ctx, &agentv1.ReportStateRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("without a server: %v", err)
	}
	serveFake(t, addr, fake)
	for err = errors.New("not yet"); err != nil && ctx.Err() == nil; {
		_, err = client.ReportState(ctx, &agentv1.ReportStateRequest{})
	}
	if err != nil {
		t.Errorf("with a server again: %v", err)
	}
}

// send sends lines on a stream of their own, and reads it to its end.
func send(t *testing.T, ctx context.Context, client agentv1.AgentServiceClient, lines ...*agentv1.LogLine) error { //nolint:revive // t comes first
	t.Helper()
	stream, err := client.StreamLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if err := stream.Send(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}
