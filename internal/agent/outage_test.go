package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// plane is a control plane in memory that comes and goes, and keeps reports meanwhile.
type plane struct {
	agentv1.UnimplementedAgentServiceServer
	onReport func() // runs once a report is kept, before it is answered

	mu      sync.Mutex
	listens *bufconn.Listener // nil: it is down
	server  *grpc.Server
	kept    []*report
	pushed  []*agentv1.PushXComRequest
}

// up has it serve until down is called.
func (p *plane) up() {
	l, srv := bufconn.Listen(1<<16), grpc.NewServer()
	agentv1.RegisterAgentServiceServer(srv, p)
	p.mu.Lock()
	p.listens, p.server = l, srv
	p.mu.Unlock()
	go func() { _ = srv.Serve(l) }()
}

// down ends it as a kill does: connections break, and calls get no answer.
func (p *plane) down() {
	p.mu.Lock()
	srv := p.server
	p.listens, p.server = nil, nil
	p.mu.Unlock()
	srv.Stop()
}

func (p *plane) dial(ctx context.Context, _ string) (net.Conn, error) {
	p.mu.Lock()
	l := p.listens
	p.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	return l.DialContext(ctx)
}

func (p *plane) ReportState(_ context.Context, in *report) (*agentv1.ReportStateResponse, error) {
	p.mu.Lock()
	p.kept = append(p.kept, in)
	p.mu.Unlock()
	if p.onReport != nil {
		p.onReport()
	}
	return &agentv1.ReportStateResponse{Acknowledged: true}, nil
}

func (p *plane) PushXCom(_ context.Context, in *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pushed = append(p.pushed, in)
	return &agentv1.PushXComResponse{Accepted: true}, nil
}

// reporter returns an attempt whose task has ended, with the agent's own pace.
func (p *plane) reporter(t *testing.T) *attempt {
	t.Helper()
	cfg := Config{
		Addr: "passthrough:///plane", Token: testToken, Plaintext: true,
		Logger: slog.New(slog.DiscardHandler), dial: p.dial,
	}.completed()
	token := newBearer(cfg.Token, true)
	conn, err := dial(cfg, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &attempt{
		cfg: cfg, pace: cfg.pace, log: cfg.Logger, token: token,
		client: agentv1.NewAgentServiceClient(conn), calls: caller{conn: conn, pace: cfg.pace, token: token},
	}
}

// TestNet1ReportOutlivesAnOutageOfAMinute runs by a clock of its own: the control plane
// is away when the task ends, and for 60 s more.
func TestNet1ReportOutlivesAnOutageOfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p plane
		a := p.reporter(t)
		const outage = 60 * time.Second
		began := time.Now()
		time.AfterFunc(outage, p.up)
		if code := a.conclude(t.Context(), failed(3, "exited with code 3")); code != ExitOK {
			t.Errorf("exit code %d", code)
		}
		// Both the calls and the connection wait, each up to a quarter over its longest wait.
		took, late := time.Since(began), 2*(defaultPace.maxWait+defaultPace.maxWait/4)
		if took < outage || took > outage+late {
			t.Errorf("told after %v, want within %v of %v", took, late, outage)
		}
		if len(p.kept) != 1 || p.kept[0].GetExitCode() != 3 || !p.kept[0].GetOccurredAt().AsTime().Equal(began) {
			t.Errorf("kept %v; want the time at which the task ended, %v", p.kept, began.UTC())
		}
		p.down()
	})
}

// TestRun4AValueOutlivesAnOutageAsItsReportDoes: a value that is given up makes a failure
// of the success, so that it is tried for as long.
func TestRun4AValueOutlivesAnOutageAsItsReportDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p plane
		a := p.reporter(t)
		a.dir, a.beats = t.TempDir(), &beats{wanted: t.Context()}
		if err := os.WriteFile(a.returnPath(), []byte("42"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(70*time.Second, p.up)
		if out := a.deliver(t.Context(), outcome{state: success}); out.state != success {
			t.Errorf("the task ends as %+v", out)
		}
		if len(p.pushed) != 1 || string(p.pushed[0].GetValue()) != "42" {
			t.Errorf("pushed %v", p.pushed)
		}
		p.down()
	})
}

// TestNet1ReportEndsInTime: an agent does not try for ever.
func TestNet1ReportEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p plane
		a := p.reporter(t)
		began := time.Now()
		if code := a.conclude(t.Context(), failed(3, "")); code != ExitUnreported {
			t.Errorf("exit code %d", code)
		}
		if took := time.Since(began); took < defaultPace.report || took > defaultPace.report+defaultPace.try {
			t.Errorf("gave up after %v", took)
		}
	})
}

// TestNet1ReportIsRepeatedWhenTheAnswerIsLost: the control plane keeps the report and
// dies before it answers. The repeat is the same report to the letter, which is what it
// is told from another one by (STATE-3).
func TestNet1ReportIsRepeatedWhenTheAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p plane
		p.onReport = sync.OnceFunc(func() {
			go p.down()
			synctest.Wait() // until the connection is broken, and only this call is left
			time.AfterFunc(time.Minute, p.up)
		})
		p.up()
		a := p.reporter(t)
		if code := a.conclude(t.Context(), outcome{state: success, at: time.Now()}); code != ExitOK {
			t.Errorf("exit code %d", code)
		}
		if len(p.kept) != 2 || !proto.Equal(p.kept[0], p.kept[1]) {
			t.Errorf("kept %v", p.kept)
		}
		p.down()
	})
}

// TestNet2RenewedTokenIsTriedFirst: a refused call is made again only where the token
// was renewed while it was under way.
func TestNet2RenewedTokenIsTriedFirst(t *testing.T) {
	f := &fake{spec: bash("true")}
	b := newBench(t, f)
	renew, renewed := make(chan struct{}), make(chan struct{})
	f.onCall = func(m string, nth int) error {
		if m != "ReportState SUCCESS" {
			return nil
		}
		if nth == 1 {
			close(renew)
			await(t, renewed, "two heartbeats")
		}
		if nth < 3 {
			return status.Error(codes.Unauthenticated, "expired")
		}
		return nil
	}
	after := 0
	f.onBeat = func(context.Context, int) (*agentv1.HeartbeatResponse, error) {
		select {
		case <-renew:
			if after++; after == 3 { // the answers to those before have been read
				close(renewed)
			}
			return &agentv1.HeartbeatResponse{RenewedToken: "renewed.token"}, nil
		default:
			return &agentv1.HeartbeatResponse{}, nil
		}
	}
	if code := b.run(t); code != ExitUnreported { // the renewed one is refused as well
		t.Errorf("exit code %d", code)
	}
	if n := f.called("ReportState SUCCESS"); n != 2 || !f.used()["ReportState SUCCESS Bearer renewed.token"] {
		t.Errorf("reported %d times, with %v", n, f.used())
	}
}

// TestNet1CutOffOnTheWayIsTriedAgain: what stands between the two may cancel a call.
func TestNet1CutOffOnTheWayIsTriedAgain(t *testing.T) {
	f := &fake{spec: bash("true")}
	f.onCall = func(m string, nth int) error {
		if m != "Heartbeat" && m != "StreamLogs" && nth == 1 {
			return status.Error(codes.Canceled, "the proxy ends")
		}
		return nil
	}
	if code := newBench(t, f).run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	wantOutcome(t, f.terminal(t), success, 0, "")
}
