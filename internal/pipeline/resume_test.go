package pipeline

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// driven is a scene whose run another driver began: of each task that is named, it
// launched a try, which has the state given.
func driven(t *testing.T, graph []string, became map[string]*controlv1.TaskChange) *scene {
	s := newScene(t, graph...)
	s.opts.Resume = true
	req, err := createRequest(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.plane.CreateRun(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	for id, c := range became {
		if _, err := s.plane.LaunchAttempt(t.Context(), &controlv1.LaunchAttemptRequest{TaskId: id, TryNumber: 1, IdempotencyKey: "another's"}); err != nil {
			t.Fatal(err)
		}
		s.plane.report(id, 1, c)
	}
	return s
}

var graph = []string{"done:", "bad:", "live:", "next: done", "after: live", "never: bad"}

func became() map[string]*controlv1.TaskChange {
	return map[string]*controlv1.TaskChange{"done": {State: success}, "bad": {State: failed}, "live": {State: running}}
}

// TestResumeGoesOn keeps every outcome, waits for another driver's live attempt, and
// launches what it had not.
func TestResumeGoesOn(t *testing.T) {
	s := driven(t, graph, became())
	s.plane.watchLimit = 1
	s.launcher.scripts["next"] = func(a *agentSim) Exit {
		s.plane.report("live", 1, &controlv1.TaskChange{State: success}) // its agent is another driver's
		return succeed(a)
	}
	wantStates(t, s.mustRun(), "done=success bad=failed live=success next=success after=success never=upstream_failed")
	if want := []string{"next", "after"}; !slices.Equal(s.launcher.launched, want) {
		t.Errorf("launched %v, want %v", s.launcher.launched, want)
	}
}

// TestState11ResumeSettlesOrphans has no agent of an earlier attempt able to report.
func TestState11ResumeSettlesOrphans(t *testing.T) {
	s := driven(t, graph, became())
	s.opts.Orphaned = true
	s.task("live").Retry = file.Retry{Times: 1}
	wantStates(t, s.mustRun(), "done=success bad=failed live=success next=success after=success never=upstream_failed")
	if got := s.plane.settledAs(); !slices.Equal(got, []string{"live lost 0"}) {
		t.Errorf("settled %v", got)
	}
}

// TestResumeReopensWhatIsBelow has a person ask for another try of a task alone, once
// the run has ended: what was given up because of it waits for it again.
func TestResumeReopensWhatIsBelow(t *testing.T) {
	s := driven(t, []string{"bad:", "next: bad", "last: next", "other:", "never: other"},
		map[string]*controlv1.TaskChange{"bad": {State: failed}, "other": {State: failed}})
	s.plane.settleAll(upstreamFailed, "next", "last", "never")
	s.plane.reopen("bad", 1)
	wantStates(t, s.mustRun(), "bad=success next=success last=success other=failed never=upstream_failed")
}

func TestResumeRefusesAnotherContent(t *testing.T) {
	s := driven(t, []string{"a:"}, nil)
	s.task("a").Entrypoint = "something else"
	_, err := s.run(t.Context())
	var input *InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "was created from something else") {
		t.Errorf("error %v", err)
	}
}

func TestResumeRefusesARunThatIsNotThere(t *testing.T) {
	s := newScene(t, "a:")
	s.opts.Resume = true
	_, err := s.run(t.Context())
	var input *InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), `has no run "run" to resume`) {
		t.Errorf("error %v", err)
	}
	if s.plane.created != nil {
		t.Error("it was created")
	}
}

// TestLostAnswersChangeNothing has the answer to every first call of a kind get lost:
// by its key a call made again is known to be the same one.
func TestLostAnswersChangeNothing(t *testing.T) {
	s := newScene(t, "a:")
	s.plane.lose = map[string]bool{}
	wantStates(t, s.mustRun(), "a=success")
	if !s.plane.lose["CreateRun"] || !s.plane.lose["LaunchAttempt"] || len(s.launcher.launched) != 1 {
		t.Errorf("lost %v, launched %v", s.plane.lose, s.launcher.launched)
	}
}

// TestAttemptOfAnotherDriverGetsNoAgent has another driver launch the same try first.
func TestAttemptOfAnotherDriverGetsNoAgent(t *testing.T) {
	s := newScene(t, "a:", "b: a")
	s.plane.refuse = func(call any) error {
		if req, ok := call.(*controlv1.LaunchAttemptRequest); ok && req.GetTaskId() == "a" {
			t := s.plane.tasks["a"]
			t.try, t.key = 1, "another's"
			s.plane.move("a", &controlv1.TaskChange{State: queued})
			s.plane.move("a", &controlv1.TaskChange{State: success})
			return status.Error(codes.FailedPrecondition, "it is another's")
		}
		return nil
	}
	wantStates(t, s.mustRun(), "a=success b=success")
	if !slices.Equal(s.launcher.launched, []string{"b"}) {
		t.Errorf("launched %v", s.launcher.launched)
	}
}
