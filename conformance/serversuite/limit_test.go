package serversuite

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// taking takes every beat and every push, and counts these.
type taking struct {
	agentv1.UnimplementedAgentServiceServer
	pushes atomic.Int64
}

func (s *taking) Heartbeat(context.Context, *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	return &agentv1.HeartbeatResponse{}, nil
}

func (s *taking) PushXCom(context.Context, *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	s.pushes.Add(1)
	return &agentv1.PushXComResponse{Accepted: true}, nil
}

// within runs something as a check of an attempt of a server that is reached over no
// network, and returns what became of it.
func within(t *testing.T, server agentv1.AgentServiceServer, run func(*attempt)) *suite.Result {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer()
	agentv1.RegisterAgentServiceServer(s, server)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	rules, _ := all(t)
	check := suite.Check{ID: "LIMIT-2/tried", Rule: "LIMIT-2", Name: "what is tried", Deadline: 10 * time.Minute, Run: func(c *suite.T) {
		target := &Target{Conn: conn, Capabilities: &conformancev1.GetCapabilitiesResponse{PushesOverRate: 40}}
		run(&attempt{&world{t: c, target: target}, &conformancev1.AttemptRef{TaskId: worker}, "token"})
	}}
	results, err := suite.Run(t.Context(), []suite.Check{check}, suite.Options{Rules: rules, TimeScale: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	return &results.Checks[0]
}

// echoing repeats what it was sent as a token.
type echoing struct{ taking }

func (*echoing) Register(ctx context.Context, _ *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	return nil, status.Errorf(codes.Unauthenticated, "%v is no good", metadata.ValueFromIncomingContext(ctx, "authorization"))
}

// TestAuth8ASpoiltTokenIsNotToldEither has a server that repeats what was made of a token.
func TestAuth8ASpoiltTokenIsNotToldEither(t *testing.T) {
	const good = "opaque-token-of-an-agent"
	for _, s := range spoilt {
		made := s.make(good)
		if s.word == "unsigned" || s.word == "empty" {
			continue // of a token of this form nothing is left
		}
		got := within(t, &echoing{}, func(a *attempt) {
			_, err := a.w.call(register, made, &agentv1.RegisterRequest{})
			a.w.t.Errorf("%v", err)
		})
		if text := fmt.Sprintf("%+v", got); strings.Contains(text, made.secrets()[0]) || !strings.Contains(text, "is no good") {
			t.Errorf("%s: %s", s.word, text)
		}
	}
}

// TestASecondConnectionIsUntestableWhereThereIsNoNetwork has a server in memory, as teams
// that work in Go have it in their tests.
func TestASecondConnectionIsUntestableWhereThereIsNoNetwork(t *testing.T) {
	got := within(t, &taking{}, func(a *attempt) { a.w.connect(a) })
	if got.Status != suite.Untestable {
		t.Errorf("%s: %s", got.Status, got.Reason)
	}
}

// TestWhoStaysWithinItsRateIsNotPushedForEver has a server on which the rate is never
// passed again, as that of a slow machine.
func TestWhoStaysWithinItsRateIsNotPushedForEver(t *testing.T) {
	server := &taking{}
	got := within(t, server, func(a *attempt) {
		a.overAgain()
		a.w.t.Note("that is all")
	})
	if got.Status != suite.Passed || server.pushes.Load() != 40 {
		t.Errorf("%s after %d pushes: %s", got.Status, server.pushes.Load(), got.Reason)
	}
}
