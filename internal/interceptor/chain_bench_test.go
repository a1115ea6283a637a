package interceptor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
)

// benchTransport takes headers, as the transport does.
type benchTransport struct{ grpc.ServerTransportStream }

func (benchTransport) SetHeader(metadata.MD) error { return nil }

// benchAttempts call in turn: what is known of one is in no cache of the processor any more
// when its turn comes.
const benchAttempts = 1000

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
		b.Run(name, func(b *testing.B) {
			benchSteps(b, n, agentv1.AgentService_Heartbeat_FullMethodName, &agentv1.HeartbeatRequest{})
		})
	}
	b.Run("all, of a push", func(b *testing.B) { // which is held against its tenant's rate as well
		benchSteps(b, places, agentv1.AgentService_PushXCom_FullMethodName, &agentv1.PushXComRequest{Key: "k"})
	})
}

func benchSteps(b *testing.B, n int, method string, req any) {
	tokens := testTokens(b)
	logger := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn}))
	chain := Chain{
		Guard:   &Guard{Policies: testPolicies(b), AuthenticateAttempt: tokens.AuthenticateAttempt, Logger: logger},
		Metrics: NewMetrics(), Logger: logger, Rates: NewRates(1e6, 1e6),
	}
	through := chain.through(chain.links()[:n])
	info := &grpc.UnaryServerInfo{FullMethod: method}
	handler := func(context.Context, any) (any, error) { return nil, nil } // a handler that does nothing
	callers := benchCallers(b, tokens)
	b.ReportAllocs()
	before := spent()
	for i := 0; b.Loop(); i++ {
		if _, err := through.unary(callers[i%len(callers)], req, info, handler); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op")
}

// benchCallers are the contexts of calls, one of each attempt.
func benchCallers(b *testing.B, tokens *auth.Tokens) []context.Context {
	out := make([]context.Context, benchAttempts)
	for i := range out {
		id := testIdentity
		id.TaskInstanceID = fmt.Sprint("ti-", i)
		token, _, err := tokens.MintAgent(id, time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs("authorization", "Bearer "+token, "user-agent", "grpc-go"))
		out[i] = grpc.NewContextWithServerTransportStream(ctx, benchTransport{})
	}
	return out
}

// spent is the processor time of this process.
func spent() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
