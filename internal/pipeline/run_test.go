package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

func TestTasksStartInTheirOrder(t *testing.T) {
	s := newScene(t, "last: middle", "middle: first", "first:")
	result := s.mustRun()
	wantStates(t, result, "last=success middle=success first=success")
	if want := []string{"first", "middle", "last"}; !slices.Equal(s.launcher.launched, want) {
		t.Errorf("launched %v, want %v", s.launcher.launched, want)
	}
	if !result.Succeeded() {
		t.Error("not a success")
	}
}

// TestParallelLimit lets as many agents meet as there may be: fewer would never end,
// and more would be counted.
func TestParallelLimit(t *testing.T) {
	s := newScene(t, "a:", "b:", "c:", "d:", "e:", "f:")
	s.opts.Parallel = 3
	var meeting sync.WaitGroup
	meeting.Add(3)
	for i, id := range []string{"a", "b", "c", "d", "e", "f"} {
		s.launcher.scripts[id] = func(a *agentSim) Exit {
			if i < 3 {
				meeting.Done()
				meeting.Wait()
			}
			return succeed(a)
		}
	}
	wantStates(t, s.mustRun(), "a=success b=success c=success d=success e=success f=success")
	if s.launcher.most != 3 {
		t.Errorf("%d agents at once, want 3", s.launcher.most)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(slices.Sorted(slices.Values(s.launcher.launched[:3])), want) {
		t.Errorf("launched %v first, want %v", s.launcher.launched[:3], want)
	}
}

func TestFanInWaitsForAll(t *testing.T) {
	s := newScene(t, "a:", "b:", "join: a b", "c:")
	joined := make(chan struct{})
	s.launcher.scripts["join"] = func(a *agentSim) Exit {
		defer close(joined)
		s.plane.mu.Lock()
		for _, up := range []string{"a", "b"} {
			if state := s.plane.tasks[up].state; state != success {
				t.Errorf("join began while %s was %v", up, state)
			}
		}
		s.plane.mu.Unlock()
		return succeed(a)
	}
	s.launcher.scripts["c"] = func(a *agentSim) Exit { <-joined; return succeed(a) } // join waits for no other
	wantStates(t, s.mustRun(), "a=success b=success join=success c=success")
}

func TestFailureStopsItsBranchOnly(t *testing.T) {
	s := newScene(t, "bad:", "after: bad", "long: after", "good:", "more: good", "join: bad good")
	s.launcher.scripts["bad"] = fail
	result := s.mustRun()
	wantStates(t, result, "bad=failed after=upstream_failed long=upstream_failed good=success more=success join=upstream_failed")
	if result.Succeeded() {
		t.Error("a success, with a failed task")
	}
	if slices.Contains(s.launcher.launched, "after") || slices.Contains(s.launcher.launched, "join") {
		t.Errorf("launched %v", s.launcher.launched)
	}
	bad, after := result.Tasks[0], result.Tasks[1]
	if bad.ExitCode != 3 || bad.Cause != "exit_nonzero" || bad.Try != 1 || bad.Duration != 1500*time.Millisecond {
		t.Errorf("bad: %+v", bad)
	}
	if after.FailedUpstream != "bad" || after.Try != 0 {
		t.Errorf("after: %+v", after)
	}
}

// TestSkipIsHandedOn also holds that a failure outweighs a skip, whichever is first.
func TestSkipIsHandedOn(t *testing.T) {
	s := newScene(t, "skip:", "next: skip", "bad: ", "both: skip bad")
	nextSettled := make(chan struct{})
	s.launcher.scripts["skip"] = func(a *agentSim) Exit { a.report(skipped, 0, ""); return Exit{} }
	s.launcher.scripts["bad"] = func(a *agentSim) Exit { <-nextSettled; return fail(a) }
	s.plane.refuse = func(call any) error {
		if req, ok := call.(*controlv1.SettleTaskRequest); ok && req.GetTaskId() == "next" {
			close(nextSettled)
		}
		return nil
	}
	wantStates(t, s.mustRun(), "skip=skipped next=skipped bad=failed both=upstream_failed")
}

// TestWatchResumes breaks the watch after every change: each renewal goes on from
// the last revision seen, and nothing is missed.
func TestWatchResumes(t *testing.T) {
	s := newScene(t, "a:", "b: a", "c: b")
	s.plane.watchLimit = 1
	wantStates(t, s.mustRun(), "a=success b=success c=success")
	if len(s.plane.watches) < 9 {
		t.Errorf("%d watches, for 9 changes", len(s.plane.watches))
	}
	for i, w := range s.plane.watches {
		if w.GetAfterRevision() != int64(i) {
			t.Errorf("watch %d goes on after revision %d", i, w.GetAfterRevision())
		}
	}
}

// TestWatchRefusedStopsTheRun breaks the watch while an agent runs, and refuses to
// renew it.
func TestWatchRefusedStopsTheRun(t *testing.T) {
	s := newScene(t, "a:")
	s.launcher.scripts["a"] = untilTold
	s.plane.watchLimit = 1
	s.plane.refuse = func(call any) error {
		if req, ok := call.(*controlv1.WatchRunRequest); ok && req.GetAfterRevision() > 0 {
			return status.Error(codes.PermissionDenied, "the role is too low")
		}
		return nil
	}
	_, err := s.run(t.Context())
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "watch the run") {
		t.Errorf("error %v", err)
	}
}

func TestState11DeathWithoutAWordIsLost(t *testing.T) {
	s := newScene(t, "signal:", "code:", "silent:", "next: signal")
	s.launcher.scripts["signal"] = func(a *agentSim) Exit {
		a.report(running, 0, "")
		return Exit{Code: -9, Signal: "killed"}
	}
	s.launcher.scripts["code"] = func(*agentSim) Exit { return Exit{Code: 1, Said: []string{"first", "no\x1b[2J way"}} }
	s.launcher.scripts["silent"] = func(*agentSim) Exit { return Exit{} } // code 0 decides nothing
	result := s.mustRun()
	wantStates(t, result, "signal=failed code=failed silent=failed next=upstream_failed")
	got := s.plane.settledAs()
	slices.Sort(got)
	if want := []string{"code lost 1", "signal lost -9", "silent lost 0"}; !slices.Equal(got, want) {
		t.Errorf("settled %q, want %q", got, want)
	}
	if m := result.Tasks[0].Message; !strings.Contains(m, "killed by signal 9 (killed)") {
		t.Errorf("message %q", m)
	}
	if out := s.out.String(); !strings.Contains(out, "code   ┊ agent: no\\x1b[2J way\n") || strings.Contains(out, "\x1b") {
		t.Errorf("output:\n%q", out)
	}
}

func TestExitCodeDecidesNothing(t *testing.T) {
	s := newScene(t, "a:", "b: a")
	s.launcher.scripts["a"] = func(a *agentSim) Exit {
		succeed(a)
		return Exit{Code: 7, Said: []string{"never shown"}}
	}
	wantStates(t, s.mustRun(), "a=success b=success")
	if strings.Contains(s.out.String(), "never shown") {
		t.Errorf("output:\n%s", s.out.String())
	}
}

func TestState11LaunchFailed(t *testing.T) {
	s := newScene(t, "a:", "b: a")
	s.launcher.refuse = errors.New("no such program")
	result := s.mustRun()
	wantStates(t, result, "a=failed b=upstream_failed")
	if got := result.Tasks[0]; got.Cause != "launch_failed" || !strings.Contains(got.Message, "no such program") {
		t.Errorf("%+v", got)
	}
}

func TestRefusedLaunchStopsTheRun(t *testing.T) {
	s := newScene(t, "a:", "b:", "c: b")
	s.launcher.scripts["b"] = untilTold
	s.plane.refuse = func(call any) error {
		if req, ok := call.(*controlv1.LaunchAttemptRequest); ok && req.GetTaskId() == "a" {
			return status.Error(codes.Internal, "internal server error")
		}
		return nil
	}
	result, err := s.run(t.Context())
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), `launch task "a"`) {
		t.Errorf("error %v", err)
	}
	if a := result.Tasks[0].State; a != "skipped" {
		t.Errorf("a is %s", a)
	}
}

func TestUnavailableCallsAreMadeAgain(t *testing.T) {
	s := newScene(t, "bad:", "next: bad")
	s.launcher.scripts["bad"] = func(*agentSim) Exit { return Exit{Code: 1} }
	tried := map[string]bool{}
	s.plane.refuse = func(call any) error {
		if kind := fmt.Sprintf("%T", call); !tried[kind] {
			tried[kind] = true
			return status.Error(codes.Unavailable, "temporarily unavailable")
		}
		return nil
	}
	wantStates(t, s.mustRun(), "bad=failed next=upstream_failed")
	if len(tried) != 6 {
		t.Errorf("calls of %d kinds were refused, want all 6 kinds: %v", len(tried), tried)
	}
}

func TestRunThatExistsIsRefused(t *testing.T) {
	s := newScene(t, "a:")
	s.plane.created = &controlv1.CreateRunRequest{}
	_, err := s.run(t.Context())
	var input *InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), `has a run "run" already`) {
		t.Errorf("error %v", err)
	}
	if len(s.launcher.launched) > 0 || s.out.Len() > 0 {
		t.Errorf("launched %v, output %q", s.launcher.launched, s.out.String())
	}
}

func TestRunThatIsInvalidIsRefused(t *testing.T) {
	s := newScene(t, "a:")
	s.plane.refuse = func(any) error { return status.Error(codes.InvalidArgument, "invalid request: run_id: too long") }
	_, err := s.run(t.Context())
	var input *InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "run_id: too long") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

func TestRunIDNamesTheTime(t *testing.T) {
	s := newScene(t, "a:")
	s.opts.RunID = ""
	s.opts.now = func() time.Time { return epoch.Add(123456789 * time.Nanosecond).In(time.FixedZone("", 7200)) }
	if got, want := s.mustRun().RunID, "manual__2026-11-24T10:00:00.123456+00:00"; got != want {
		t.Errorf("run id %q, want %q", got, want)
	}
}

func TestParallelDefault(t *testing.T) {
	s := newScene(t, "a:", "b:")
	s.opts.Parallel = 0
	var meeting sync.WaitGroup
	meeting.Add(2)
	for _, id := range []string{"a", "b"} {
		s.launcher.scripts[id] = func(a *agentSim) Exit { meeting.Done(); meeting.Wait(); return succeed(a) }
	}
	s.mustRun()
}

func TestCancelledBeforeTheRun(t *testing.T) {
	s := newScene(t, "a:")
	s.plane.refuse = func(any) error { return status.Error(codes.Unavailable, "not yet") }
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("by a test")
	cancel(cause)
	if _, err := s.run(ctx); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}
