package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

var errTest = errors.New("by a test")

// begun returns a script that tells when it has begun, and the channel that tells.
func begun(act script) (script, <-chan struct{}) {
	c := make(chan struct{})
	return func(a *agentSim) Exit { close(c); return act(a) }, c
}

// stopOnce cancels a context once all the channels are closed.
func stopOnce(t *testing.T, began ...<-chan struct{}) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for _, c := range began {
			<-c
		}
		cancel(errTest)
	})
	t.Cleanup(waiting.Wait)
	return ctx
}

func TestCancelLetsAgentsReport(t *testing.T) {
	s := newScene(t, "long:", "done:", "next: long", "other: done free", "free: done")
	s.opts.Parallel = 2
	var longBegan, freeBegan <-chan struct{}
	s.launcher.scripts["long"], longBegan = begun(untilTold)
	s.launcher.scripts["free"], freeBegan = begun(func(a *agentSim) Exit { <-a.terminated; return succeed(a) })
	result, err := s.run(stopOnce(t, longBegan, freeBegan))
	if !errors.Is(err, errTest) {
		t.Errorf("error %v", err)
	}
	wantStates(t, result, "long=failed done=success next=skipped other=skipped free=success")
	if got := result.Tasks[0]; got.Message != "asked to stop" || got.Cause != "cancelled" {
		t.Errorf("long: %+v: want the agent's own report, of a cancelled attempt", got)
	}
	if n := len(s.plane.cancels); n != 1 || s.plane.cancels[0].GetStopWithin().AsDuration() != s.opts.StopWait {
		t.Errorf("%d cancels of the run: %v", n, s.plane.cancels)
	}
	if slices.Contains(s.launcher.launched, "other") {
		t.Error("a task was launched after the run was stopped")
	}
	if !strings.Contains(s.out.String(), "\nTASK ") {
		t.Errorf("no table:\n%s", s.out.String())
	}
}

// TestCancelThatIsRefusedStopsAgentsAllTheSame also holds that what has not begun is
// settled then.
func TestCancelThatIsRefusedStopsAgentsAllTheSame(t *testing.T) {
	s := newScene(t, "long:", "next: long")
	s.plane.refuse = func(call any) error {
		if _, ok := call.(*controlv1.CancelRunRequest); ok {
			return status.Error(codes.Unimplemented, "unknown method")
		}
		return nil
	}
	var began <-chan struct{}
	s.launcher.scripts["long"], began = begun(untilTold)
	result, err := s.run(stopOnce(t, began))
	if !errors.Is(err, errTest) {
		t.Errorf("error %v", err)
	}
	wantStates(t, result, "long=failed next=skipped")
}

func TestCancelKillsDeafAgents(t *testing.T) {
	s := newScene(t, "deaf:")
	s.opts.StopWait = time.Millisecond
	var began <-chan struct{}
	s.launcher.scripts["deaf"], began = begun(deaf)
	result, err := s.run(stopOnce(t, began))
	if !errors.Is(err, errTest) {
		t.Errorf("error %v", err)
	}
	got := result.Tasks[0]
	if got.State != "failed" || got.Cause != "cancelled" || got.ExitCode != -9 || !strings.Contains(got.Message, "had not ended in time") {
		t.Errorf("%+v", got)
	}
}

func TestHurryKillsAtOnce(t *testing.T) {
	s := newScene(t, "deaf:")
	hurry := make(chan struct{})
	s.opts.Hurry = hurry
	s.launcher.scripts["deaf"] = func(a *agentSim) Exit {
		close(hurry)
		<-a.terminated // asked all the same
		return deaf(a)
	}
	result, err := s.run(t.Context())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	wantStates(t, result, "deaf=failed")
}

// TestCancelledWhileLaunching holds that no agent starts once the run is stopped.
func TestCancelledWhileLaunching(t *testing.T) {
	s := newScene(t, "a:")
	launching, stopped := make(chan struct{}), make(chan struct{})
	s.plane.refuse = func(call any) error {
		if _, ok := call.(*controlv1.LaunchAttemptRequest); ok {
			close(launching)
			<-stopped
		}
		return nil
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		<-launching
		cancel(errTest)
		close(stopped)
	})
	defer waiting.Wait()
	result, err := s.run(ctx)
	if !errors.Is(err, errTest) {
		t.Errorf("error %v", err)
	}
	// The agent may have been launched in the same moment: it has an outcome then too.
	if !result.Tasks[0].State.Terminal() {
		t.Errorf("%+v", result.Tasks[0])
	}
}

// TestAgentThatLingersIsEnded holds that a slot is not held for ever by a process
// whose attempt is over.
func TestAgentThatLingersIsEnded(t *testing.T) {
	s := newScene(t, "a:", "b: a")
	s.opts.Parallel = 1
	s.opts.StopWait = time.Millisecond
	s.launcher.scripts["a"] = func(a *agentSim) Exit {
		succeed(a)
		<-a.killed
		return Exit{Code: -9, Signal: "killed"}
	}
	wantStates(t, s.mustRun(), "a=success b=success")
}

// brokenWriter fails from a line on.
type brokenWriter struct{ after string }

func (w brokenWriter) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.after) {
		return 0, errTest
	}
	return len(b), nil
}

func TestBrokenOutputStopsTheRun(t *testing.T) {
	s := newScene(t, "a:", "b:")
	s.opts.Out = brokenWriter{"this is b"}
	s.launcher.scripts["a"] = untilTold
	if _, err := s.run(t.Context()); !errors.Is(err, errTest) || !strings.Contains(err.Error(), "output") {
		t.Errorf("error %v", err)
	}
	s = newScene(t, "a:")
	s.opts.Out = brokenWriter{"TASK "}
	if _, err := s.run(t.Context()); !errors.Is(err, errTest) {
		t.Errorf("error of the table: %v", err)
	}
}
