package interceptor

import (
	"context"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// benchTransport takes headers, as the transport does.
type benchTransport struct{ grpc.ServerTransportStream }

func (benchTransport) SetHeader(metadata.MD) error { return nil }

// BenchmarkChain tells what the chain costs a call that does nothing, as a whole and with ever
// more of its steps; cpu-ns/op is what the process spent, which other load on the machine
// changes less than the time.
func BenchmarkChain(b *testing.B) {
	names := [places]string{"recovery", "request id", "logging", "metrics", "status", "authenticate", "policy", "rates", "validation"}
	for n := range places + 1 {
		name := "none"
		if n > 0 {
			name = "to " + names[n-1]
		}
		b.Run(name, func(b *testing.B) { benchSteps(b, n) })
	}
}

func benchSteps(b *testing.B, n int) {
	tokens := testTokens(b)
	token, _, err := tokens.MintAgent(testIdentity, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn}))
	chain := Chain{
		Guard:   &Guard{Policies: testPolicies(b), AuthenticateAgent: tokens.AuthenticateAgent, Logger: logger},
		Metrics: NewMetrics(), Logger: logger, Rates: NewRates(1e6, 1e6),
	}
	through := chain.through(chain.links()[:n])
	info := &grpc.UnaryServerInfo{FullMethod: agentv1.AgentService_Heartbeat_FullMethodName}
	handler := func(context.Context, any) (any, error) { return nil, nil } // a handler that does nothing
	ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs("authorization", "Bearer "+token, "user-agent", "grpc-go"))
	ctx = grpc.NewContextWithServerTransportStream(ctx, benchTransport{})
	req := &agentv1.HeartbeatRequest{}
	b.ReportAllocs()
	before := spent()
	for b.Loop() {
		if _, err := through.unary(ctx, req, info, handler); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op")
}

// spent is the processor time of this process.
func spent() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
