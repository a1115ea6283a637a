package interceptor

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
)

// refused returns how many calls the transport refused with a code. A call may be counted
// after it was answered, so the server is ended first.
func (b *bench) refused(code codes.Code) float64 {
	b.t.Helper()
	b.stop()
	return b.counted("leoflow_transport_refused_total", "grpc_code", code.String())
}

func TestLimit1AnOversizedMessageIsRefusedCountedAndSurvived(t *testing.T) {
	tooLarge := strings.Repeat("x", messageLimit+1)
	cases := map[string]struct {
		method string // counted under it in the chain; empty: by the transport
		call   func(b *bench) error
	}{
		"unary": {"", func(b *bench) error {
			_, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{Hostname: tooLarge})
			return err
		}},
		"client stream": {"StreamLogs", func(b *bench) error { return b.sendLogs(b.asAgent(), &agentv1.LogLine{Message: tooLarge}) }},
		"server stream": {"WatchRun", func(b *bench) error {
			return b.watch(b.asOperator(auth.RoleViewer), &controlv1.WatchRunRequest{DagId: tooLarge, RunId: "r"})
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, setup{agents: &agentService{}})
			wantCode(t, c.call(b), codes.ResourceExhausted)
			if _, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{}); err != nil {
				t.Errorf("the connection does not go on: %v", err)
			}
			if len(b.log.lines(t, "handler panicked")) != 0 {
				t.Error("a large message made a panic")
			}
			if c.method == "" {
				if n := b.refused(codes.ResourceExhausted); n != 1 {
					t.Errorf("the transport counted %v, want 1", n)
				}
				return
			}
			// On a stream grpc itself answers, before the chain learns of it.
			if n := b.refused(codes.ResourceExhausted); n != 0 {
				t.Errorf("counted by the transport too: %v", n)
			}
			if n := b.handled(c.method, codes.ResourceExhausted); n != 1 {
				t.Errorf("counted %v, want 1", n)
			}
		})
	}
}

// rawCodec sends bytes as they are, under the name of the proto codec.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawCodec) Unmarshal([]byte, any) error   { return nil }
func (rawCodec) Name() string                  { return "proto" }

func TestLog7AnUndecodableMessageEndsOnlyItsOwnCall(t *testing.T) {
	b := newBench(t, setup{})
	garbage := []byte{0xff, 0xff, 0xff}
	err := b.conn.Invoke(b.asAgent(), agentv1.AgentService_Register_FullMethodName, garbage, nil, grpc.ForceCodec(rawCodec{}))
	wantCode(t, err, codes.Internal)
	stream, err := b.conn.NewStream(b.asAgent(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		agentv1.AgentService_StreamLogs_FullMethodName, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(garbage); err != nil {
		t.Fatal(err)
	}
	wantCode(t, stream.RecvMsg(nil), codes.Internal)
	if _, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{}); err != nil {
		t.Errorf("the connection does not go on: %v", err)
	}
	if n := b.refused(codes.Internal); n != 1 {
		t.Errorf("the transport counted %v, want the unary one", n)
	}
}

func TestAuth5AnUnknownMethodIsRefusedAndCounted(t *testing.T) {
	for name, method := range map[string]string{
		"unknown method":  "/leoflow.agent.v1.AgentService/Conquer",
		"unknown service": "/leoflow.agent.v9.AgentService/Register",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, setup{})
			err := b.conn.Invoke(b.asAgent(), method, &agentv1.RegisterRequest{}, &agentv1.RegisterResponse{})
			wantCode(t, err, codes.Unimplemented)
			if _, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{}); err != nil {
				t.Errorf("the connection does not go on: %v", err)
			}
			if n := b.refused(codes.Unimplemented); n != 1 {
				t.Errorf("the transport counted %v, want 1", n)
			}
		})
	}
}

func TestRefusalsCountNoCallThatEntered(t *testing.T) {
	b := newBench(t, setup{})
	if _, err := b.agent.Register(b.ctx, &agentv1.RegisterRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Fatal(err)
	}
	if _, err := b.agent.Register(b.asAgent(), &agentv1.RegisterRequest{}); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if n := b.counted("leoflow_transport_refused_total"); n != 0 {
		t.Errorf("the transport counted %v, want none", n)
	}
	if _, err := NewRefusals(b.registry); !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
		t.Errorf("registered twice: %v", err)
	}
}

func TestHealthIsExemptFromPolicyByName(t *testing.T) {
	b := newBench(t, setup{})
	client := healthv1.NewHealthClient(b.conn)
	resp, err := client.Check(b.ctx, &healthv1.HealthCheckRequest{})
	if err != nil || resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health without a token: %v, %v", resp, err)
	}
	if n := b.handled("Check", codes.OK); n != 1 {
		t.Errorf("counted %v, want 1", n)
	}
	// What its protocol answers is not turned into a fault of ours.
	_, err = client.Check(b.ctx, &healthv1.HealthCheckRequest{Service: "nobody"})
	wantCode(t, err, codes.NotFound)

	ctx, cancel := context.WithCancel(b.ctx)
	watch, err := client.Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		_, err = watch.Recv()
	}
	b.stop()
	if n := b.handled("Watch", codes.Canceled); n != 1 {
		t.Errorf("a watcher that left is counted %v times as Canceled, want 1", n)
	}
	for _, line := range b.log.lines(t, "call failed") {
		if line["level"] == "ERROR" {
			t.Errorf("logged as our fault: %v", line)
		}
	}
}

func TestErr1APanicInAnExemptServiceIsInternalToo(t *testing.T) {
	chain, ctx, _ := directChain(t)
	info := &grpc.UnaryServerInfo{FullMethod: "/grpc.health.v1.Health/Check"}
	handler := func(context.Context, any) (any, error) { panic(secret) }
	_, err := chain.through(chain.links()).unary(ctx, nil, info, handler)
	wantInternal(t, err)
}

func TestAClientThatLeavesIsNoFaultOfOurs(t *testing.T) {
	entered := make(chan struct{})
	b := newBench(t, setup{agents: &agentService{onStream: func(stream agentv1.AgentService_StreamLogsServer) error {
		close(entered)
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}}})
	ctx, cancel := context.WithCancel(b.asAgent())
	if _, err := b.agent.StreamLogs(ctx); err != nil {
		t.Fatal(err)
	}
	<-entered
	cancel()
	b.stop()
	if n := b.handled("StreamLogs", codes.Canceled); n != 1 {
		t.Errorf("counted %v times as Canceled, want 1", n)
	}
}
