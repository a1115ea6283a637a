package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func TestBeat1GoesOnWhenOneFails(t *testing.T) {
	script, open := gate(t)
	f := &fake{spec: bash(script)}
	f.onBeat = func(ctx context.Context, nth int) (*agentv1.HeartbeatResponse, error) {
		switch nth {
		case 1:
			return nil, status.Error(codes.Internal, "broken")
		case 2:
			return nil, status.Error(codes.Unavailable, "later")
		case 3:
			<-ctx.Done() // hangs until the beat's own deadline
			return nil, ctx.Err()
		case 4, 5:
			return nil, status.Error(codes.Unauthenticated, "for a moment")
		case 8:
			open()
		}
		return &agentv1.HeartbeatResponse{}, nil
	}
	b := newBench(t, f)
	b.pace.minTry, b.pace.maxTry = 30*time.Millisecond, 30*time.Millisecond
	if code := b.run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	wantOutcome(t, f.terminal(t), success, 0, "")
}

func TestBeat1AskedInterval(t *testing.T) {
	a := &attempt{pace: &defaultPace}
	for asked, want := range map[*durationpb.Duration]time.Duration{
		nil:                             7 * time.Second,
		durationpb.New(0):               7 * time.Second,
		durationpb.New(-time.Second):    7 * time.Second,
		durationpb.New(2 * time.Second): 2 * time.Second,
		durationpb.New(1):               defaultPace.minBeat,
		durationpb.New(24 * time.Hour):  defaultPace.maxBeat,
	} {
		if got := a.interval(&agentv1.HeartbeatResponse{BeatInterval: asked}, 7*time.Second); got != want {
			t.Errorf("asked for %v: %v, want %v", asked, got, want)
		}
	}
	if defaultPace.beat != 15*time.Second {
		t.Error("the interval without a wish is 15 s")
	}
}

func TestBeat1AskedIntervalIsKept(t *testing.T) {
	script, open := gate(t)
	f := &fake{spec: bash(script)}
	f.onBeat = func(_ context.Context, nth int) (*agentv1.HeartbeatResponse, error) {
		if nth == 5 {
			open()
		}
		return &agentv1.HeartbeatResponse{BeatInterval: durationpb.New(time.Millisecond)}, nil
	}
	b := newBench(t, f)
	b.pace.beat = time.Hour // without the wish there would be no second beat
	b.run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
}

func TestBeat2Terminate(t *testing.T) {
	const reason = "TERMINATION_REASON_"
	for name, c := range map[string]struct {
		trap string
		want string // empty: it just ends
		code int32
	}{
		"CANCELLED":   {"", "stopped: cancelled (killed by signal 15 (terminated))", -15},
		"UNSPECIFIED": {"", "stopped: the control plane asked to stop (killed by signal 15 (terminated))", -15},
		"TIMED_OUT":   {"trap 'exit 4' TERM", "stopped: the attempt ran for too long (exited with code 4)", 4},
		"SUPERSEDED":  {"", "", 0},
		"FINISHED":    {"", "", 0},
		"LOST":        {"trap 'exit 0' TERM", "", 0},
		"UNKNOWN":     {"", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			up := make(chan struct{})
			held, gone := fifo(t)
			f := &fake{spec: bash("exec 9>'" + held + "'\n" + c.trap + "\necho up; sleep 1000 & wait")}
			f.onStream = f.upon("up", func() { close(up) })
			f.onBeat = func(ctx context.Context, _ int) (*agentv1.HeartbeatResponse, error) {
				select {
				case <-up:
				case <-ctx.Done():
					return nil, ctx.Err() // who is told too late is told nothing
				}
				return &agentv1.HeartbeatResponse{
					ShouldTerminate: true, RenewedToken: "never-together",
					Reason: agentv1.TerminationReason(agentv1.TerminationReason_value[reason+name]),
				}, nil
			}
			if code := newBench(t, f).run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			await(t, gone, "the end of the task")
			for key := range f.used() {
				if strings.Contains(key, "never-together") {
					t.Error("TOKEN-1: took a token that came with a termination")
				}
			}
			if c.want != "" {
				wantOutcome(t, f.terminal(t), failure, c.code, c.want)
			} else if len(f.reports) != 1 {
				t.Errorf("reported %v", f.reports)
			}
		})
	}
}

func TestBeat2StopByShortensTheGrace(t *testing.T) {
	f := &fake{spec: bash("trap '' TERM; echo up; while :; do sleep 1000; done")}
	up := make(chan struct{})
	f.onStream = f.upon("up", func() { close(up) })
	f.onBeat = func(ctx context.Context, _ int) (*agentv1.HeartbeatResponse, error) {
		select {
		case <-up:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		server := time.Unix(1_000_000, 0) // a clock far off the agent's
		return &agentv1.HeartbeatResponse{
			ShouldTerminate: true, Reason: agentv1.TerminationReason_TERMINATION_REASON_CANCELLED,
			ServerTime: timestamppb.New(server), StopBy: timestamppb.New(server.Add(100 * time.Millisecond)),
		}, nil
	}
	b := newBench(t, f)
	b.cfg.Grace = time.Hour
	b.run(t)
	if got := f.terminal(t); got.GetState() != failure || !strings.HasPrefix(got.GetErrorMessage(), "stopped: cancelled (killed by signal") {
		t.Errorf("reported %v", got)
	}
}

func TestBeat2SuccessStaysSuccess(t *testing.T) {
	f := &fake{spec: bash(`trap 'echo 1 > "$LEOFLOW_RETURN_VALUE_PATH"; exit 0' TERM; echo up; sleep 1000 & wait`)}
	up := make(chan struct{})
	f.onStream = f.upon("up", func() { close(up) })
	f.onBeat = func(ctx context.Context, _ int) (*agentv1.HeartbeatResponse, error) {
		select {
		case <-up:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return &agentv1.HeartbeatResponse{ShouldTerminate: true, Reason: agentv1.TerminationReason_TERMINATION_REASON_CANCELLED}, nil
	}
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	if len(f.pushes) != 1 {
		t.Error("XCOM-6: the value of a task that finished under a cancel was not pushed")
	}
}

func TestBeat3RenewedToken(t *testing.T) {
	script, open := gate(t)
	f := &fake{spec: bash(script)}
	f.onBeat = func(_ context.Context, nth int) (*agentv1.HeartbeatResponse, error) {
		switch nth {
		case 1:
			return &agentv1.HeartbeatResponse{RenewedToken: "renewed.token"}, nil
		case 2:
			return &agentv1.HeartbeatResponse{RenewedToken: "no\ntoken"}, nil
		case 3:
			open()
		}
		return &agentv1.HeartbeatResponse{}, nil
	}
	b := newBench(t, f)
	if code := b.run(t); code != ExitOK {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{"Heartbeat Bearer renewed.token", "ReportState SUCCESS Bearer renewed.token", "StreamLogs Bearer " + testToken} {
		if !f.used()[want] {
			t.Errorf("no call %q among %v", want, f.used())
		}
	}
	if strings.Contains(b.log.String(), "renewed.token") {
		t.Error("a token is in the agent's own log")
	}
}

func TestNet2RefusedHeartbeatsEndTheTask(t *testing.T) {
	held, gone := fifo(t)
	f := &fake{spec: bash("exec 9>'" + held + "'; echo up; sleep 1000")}
	up := make(chan struct{})
	f.onStream = f.upon("up", func() { close(up) })
	f.onBeat = func(ctx context.Context, _ int) (*agentv1.HeartbeatResponse, error) {
		select {
		case <-up:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return nil, status.Error(codes.Unauthenticated, "expired")
	}
	f.onCall = func(m string, _ int) error {
		if m == "ReportState FAILED" {
			return status.Error(codes.Unauthenticated, "expired")
		}
		return nil
	}
	b := newBench(t, f)
	if code := b.run(t); code != ExitUnreported {
		t.Errorf("exit code %d", code)
	}
	await(t, gone, "the end of the task")
	if f.called("ReportState FAILED") != 1 {
		t.Error("the outcome was not reported once")
	}
}
