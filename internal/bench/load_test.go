package bench

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// serve serves, and returns a connection.
func serve(t *testing.T, s *grpc.Server) *grpc.ClientConn {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		err := s.Serve(l)
		if errors.Is(err, grpc.ErrServerStopped) {
			err = nil // before it began
		}
		ended <- err
	}()
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if err := errors.Join(conn.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func bareConn(t *testing.T) *grpc.ClientConn { t.Helper(); return serve(t, NewBare(NewSpec())) }

// odd is a server that answers heartbeats as it is told.
type odd struct {
	bare
	heartbeat func(n int64) (*agentv1.HeartbeatResponse, error)
	calls     atomic.Int64
}

func (o *odd) Heartbeat(context.Context, *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	return o.heartbeat(o.calls.Add(1))
}

func oddConn(t *testing.T, o *odd) *grpc.ClientConn {
	t.Helper()
	s := grpc.NewServer()
	agentv1.RegisterAgentServiceServer(s, o)
	return serve(t, s)
}

func attempts(n int) []Attempt {
	out := make([]Attempt, n)
	for i := range out {
		out[i] = NewAttempt("x")
	}
	return out
}

func TestEveryOpIsAnsweredByABareServer(t *testing.T) {
	conn := bareConn(t)
	for _, op := range Ops() {
		got, err := Run(t.Context(), Load{Op: op, Workers: 2, Conns: []*grpc.ClientConn{conn}, Attempts: attempts(3), For: 20 * time.Millisecond})
		if err != nil || got.Op != op || got.Calls < 1 || got.PerSecond() <= 0 || got.P50 > got.P99 {
			t.Errorf("%s: %+v, %v", op, got, err)
		}
		if op == Report && got.Calls != 6 {
			t.Errorf("%d reports of 3 attempts", got.Calls)
		}
	}
}

// TestALoadCallsThoughItsTimeIsOver has the time be over before any worker comes to call.
func TestALoadCallsThoughItsTimeIsOver(t *testing.T) {
	conn := bareConn(t)
	for _, op := range Ops() {
		got, err := Run(t.Context(), Load{Op: op, Workers: 2, Conns: []*grpc.ClientConn{conn}, Attempts: attempts(2), For: -1})
		if err != nil || got.Calls < 2 || got.P50 <= 0 {
			t.Errorf("%s: %+v, %v", op, got, err)
		}
	}
	var made atomic.Int64
	got, err := Loop(t.Context(), 2, 0, -1, func(context.Context, int) error { made.Add(1); return nil })
	if err != nil || got.Calls != 2 || made.Load() != 2 {
		t.Errorf("a loop: %+v, of %d calls, %v", got, made.Load(), err)
	}
}

func TestLoadWithoutEnoughToPutItOn(t *testing.T) {
	conn := bareConn(t)
	for name, l := range map[string]Load{
		"workers": {Conns: []*grpc.ClientConn{conn}, Attempts: attempts(1)}, "connections": {Workers: 1, Attempts: attempts(1)},
		"attempts": {Workers: 2, Conns: []*grpc.ClientConn{conn}, Attempts: attempts(1)},
	} {
		if _, err := Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "give at least") {
			t.Errorf("too few %s: %v", name, err)
		}
	}
}

func TestACallThatFailsEndsTheLoad(t *testing.T) {
	for name, answer := range map[string]func(int64) (*agentv1.HeartbeatResponse, error){
		"not OK": func(int64) (*agentv1.HeartbeatResponse, error) { return nil, status.Error(codes.Internal, "oh") },
		"SUPERSEDE": func(int64) (*agentv1.HeartbeatResponse, error) {
			return told(agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED)
		},
	} {
		conn := oddConn(t, &odd{heartbeat: answer})
		_, err := Run(t.Context(), Load{Op: Heartbeat, Workers: 1, Conns: []*grpc.ClientConn{conn}, Attempts: attempts(1), For: time.Hour})
		if err == nil || !strings.Contains(err.Error(), "heartbeat") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func told(reason agentv1.TerminationReason) (*agentv1.HeartbeatResponse, error) {
	return &agentv1.HeartbeatResponse{ShouldTerminate: true, Reason: reason}, nil
}

func TestFleetBeatsWhenItIsDue(t *testing.T) {
	f := Fleet{Conns: []*grpc.ClientConn{bareConn(t)}, Attempts: attempts(50), Every: 20 * time.Millisecond, For: 100 * time.Millisecond, Workers: 4, Late: time.Hour}
	got, err := f.Run(t.Context())
	if err != nil || got.Beats != 250 || got.Late != 0 || got.Failed != 0 || len(got.Ended) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got.Took < 80*time.Millisecond || got.P50 > got.P99 || got.P99 > got.Most || got.P50 <= 0 || got.Behind <= 0 || got.Behind > got.Most {
		t.Errorf("%+v", got)
	}
}

func TestFleetCountsWhatIsWrong(t *testing.T) {
	conn := oddConn(t, &odd{heartbeat: func(n int64) (*agentv1.HeartbeatResponse, error) {
		switch {
		case n <= 2:
			return nil, status.Error(codes.Unavailable, "away")
		case n <= 5:
			return told(agentv1.TerminationReason_TERMINATION_REASON_LOST)
		}
		return &agentv1.HeartbeatResponse{}, nil
	}})
	f := Fleet{Conns: []*grpc.ClientConn{conn}, Attempts: attempts(20), Every: 10 * time.Millisecond, For: 10 * time.Millisecond, Workers: 1}
	got, err := f.Run(t.Context())
	if err != nil || got.Beats != 18 || got.Failed != 2 || !strings.Contains(got.FirstFailure, "away") || got.Ended["TERMINATION_REASON_LOST"] != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Late != 18 { // nothing is answered as soon as it is due
		t.Errorf("%d late", got.Late)
	}
}

func TestFleetEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	conn := oddConn(t, &odd{heartbeat: func(int64) (*agentv1.HeartbeatResponse, error) {
		cancel()
		return &agentv1.HeartbeatResponse{}, nil
	}})
	f := Fleet{Conns: []*grpc.ClientConn{conn}, Attempts: attempts(2), Every: time.Millisecond, For: time.Hour, Workers: 1}
	if _, err := f.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := (Fleet{}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "at least one") {
		t.Error(err)
	}
}

// reader is a server that counts the specifications which were read.
type reader struct {
	bare
	specs atomic.Int64
}

func (r *reader) GetTaskSpec(ctx context.Context, in *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	r.specs.Add(1)
	return r.bare.GetTaskSpec(ctx, in)
}

func TestEveryAttemptReadsItsSpecificationOnceToBegin(t *testing.T) {
	r := &reader{bare: bare{spec: NewSpec()}}
	s := grpc.NewServer()
	agentv1.RegisterAgentServiceServer(s, r)
	err := Load{Op: Report, Workers: 2, Conns: []*grpc.ClientConn{serve(t, s)}, Attempts: attempts(5)}.Begin(t.Context())
	if n := r.specs.Load(); err != nil || n != 5 {
		t.Errorf("%d specifications of 5 attempts were read, %v", n, err)
	}
}

func TestManyStreamsThatFailAreToldInOneLine(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	s, err := OpenStreams(ctx, []*grpc.ClientConn{bareConn(t)}, attempts(40))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(3, 5); err != nil {
		t.Fatal(err)
	}
	leave()
	for name, err := range map[string]error{"3 of 3 ": s.Send(3, 5), "40 of 40 ": s.Close()} {
		if err == nil || !strings.HasPrefix(err.Error(), name) || strings.Contains(err.Error(), "\n") || status.Code(err) != codes.Canceled {
			t.Errorf("want %s, got %v", name, err)
		}
	}
}
