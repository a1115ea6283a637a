package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// failing is an agent whose task fails in its first tries, then goes well.
func failing(tries int) script {
	return func(a *agentSim) Exit {
		if a.try <= tries {
			return fail(a)
		}
		return succeed(a)
	}
}

// history is what became of a task, as "1 queued, 1 running, …".
func (f *fakePlane) history(task string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []string
	for _, c := range f.changes {
		if c.GetTaskId() == task {
			words = append(words, fmt.Sprint(c.GetTryNumber(), " ", stateOf(c.GetState())))
		}
	}
	return strings.Join(words, ", ")
}

func TestFailedTaskIsTriedAgain(t *testing.T) {
	s := newScene(t, "a:", "b: a")
	s.task("a").Retry = file.Retry{Times: 2}
	s.launcher.scripts["a"] = failing(2)
	result := s.mustRun()
	wantStates(t, result, "a=success b=success")
	if want := "1 queued, 1 running, 1 failed, 1 up_for_retry, 2 queued, 2 running, 2 failed, 2 up_for_retry, 3 queued, 3 running, 3 success"; s.plane.history("a") != want {
		t.Errorf("history %s\nwant %s", s.plane.history("a"), want)
	}
	if result.Tasks[0].Try != 3 || !strings.Contains(s.out.String(), "a ╌ try 3 of 3 begins in 0.00s\n") {
		t.Errorf("%+v\n%s", result.Tasks[0], s.out.String())
	}
}

// TestRetriesEnd holds that what waits for a task waits for its last try, and then
// learns of the failure.
func TestRetriesEnd(t *testing.T) {
	s := newScene(t, "a:", "b: a")
	s.task("a").Retry = file.Retry{Times: 1}
	s.launcher.scripts["a"] = fail
	wantStates(t, s.mustRun(), "a=failed b=upstream_failed")
	if len(s.launcher.launched) != 2 || len(s.plane.retries) != 1 {
		t.Errorf("launched %v, retries %v", s.launcher.launched, s.plane.retries)
	}
}

func TestEveryCauseButACancelIsTriedAgain(t *testing.T) {
	for _, cause := range append(domain.Causes(), domain.CauseNone) {
		want := cause != domain.CauseCancelled && cause != domain.CauseSuperseded
		failed := task{state: domain.TaskStateFailed, cause: cause, try: 1, retry: file.Retry{Times: 1}}
		if failed.retryDue() != want {
			t.Errorf("%q: retried %v, want %v", cause, !want, want)
		}
		if failed.try = 2; failed.retryDue() {
			t.Errorf("%q: retried once more than it may be", cause)
		}
	}
}

func TestRetryDelayDoublesUpToTheLongest(t *testing.T) {
	for try, want := range map[int]time.Duration{1: 10, 2: 20, 3: 40, 4: 70, 5: 70, 100: 70} {
		want *= time.Second
		for range 20 {
			got := retryDelay(&task{try: try, retry: file.Retry{Times: 100, Delay: 10 * time.Second, DelayMax: 70 * time.Second}})
			if got < want || got > want+want/10 {
				t.Errorf("after try %d: %v, want %v and up to a tenth more", try, got, want)
			}
		}
	}
}

// TestSlotIsFreeWhileATaskWaits has a task wait for hours, and another run meanwhile,
// which then ends the run.
func TestSlotIsFreeWhileATaskWaits(t *testing.T) {
	s := newScene(t, "a:", "b:")
	s.opts.Parallel = 1
	s.task("a").Retry = file.Retry{Times: 1, Delay: time.Hour, DelayMax: time.Hour}
	s.launcher.scripts["a"] = fail
	act, began := begun(untilTold)
	s.launcher.scripts["b"] = func(b *agentSim) Exit {
		s.plane.await("a", upForRetry)
		return act(b)
	}
	result, err := s.run(stopOnce(t, began))
	if !errors.Is(err, errTest) {
		t.Errorf("error %v", err)
	}
	wantStates(t, result, "a=skipped b=failed")
}

// TestRules lists what becomes of a task by its rule and by what it waits for.
func TestRules(t *testing.T) {
	const s, f, k, u, w = domain.TaskStateSuccess, domain.TaskStateFailed, domain.TaskStateSkipped, domain.TaskStateUpstreamFailed, domain.TaskStateRunning
	for _, c := range []struct {
		when file.When
		up   []domain.TaskState
		want fate
	}{
		{file.WhenAllSucceeded, nil, fateLaunch},
		{file.WhenAllSucceeded, []domain.TaskState{s, s}, fateLaunch},
		{file.WhenAllSucceeded, []domain.TaskState{s, w}, fateWait},
		{file.WhenAllSucceeded, []domain.TaskState{f, w}, fateFail},
		{file.WhenAllSucceeded, []domain.TaskState{k, w}, fateWait},
		{file.WhenAllSucceeded, []domain.TaskState{k, s}, fateSkip},
		{file.WhenAllSucceeded, []domain.TaskState{k, u}, fateFail},
		{file.WhenAllDone, []domain.TaskState{f, w}, fateWait},
		{file.WhenAllDone, []domain.TaskState{f, k, u, s}, fateLaunch},
		{file.WhenAnySucceeded, []domain.TaskState{s, w}, fateWait},
		{file.WhenAnySucceeded, []domain.TaskState{s, f}, fateLaunch},
		{file.WhenAnySucceeded, []domain.TaskState{k, f}, fateFail},
		{file.WhenAnySucceeded, []domain.TaskState{k, k}, fateSkip},
		{file.WhenAnyFailed, []domain.TaskState{f, w}, fateWait},
		{file.WhenAnyFailed, []domain.TaskState{s, f}, fateLaunch},
		{file.WhenAnyFailed, []domain.TaskState{s, u}, fateLaunch},
		{file.WhenAnyFailed, []domain.TaskState{s, k}, fateSkip},
		{file.WhenNoneFailed, []domain.TaskState{k, s}, fateLaunch},
		{file.WhenNoneFailed, []domain.TaskState{k, w}, fateWait},
		{file.WhenNoneFailed, []domain.TaskState{u, w}, fateFail},
	} {
		down := task{when: c.when}
		for _, state := range c.up {
			down.upstream = append(down.upstream, &task{state: state, try: 1})
		}
		if got := down.fate(); got != c.want {
			t.Errorf("%s of %v: fate %d, want %d", c.when, c.up, got, c.want)
		}
	}
	again := &task{state: f, try: 1, retry: file.Retry{Times: 1}}
	if got := (&task{when: file.WhenAllSucceeded, upstream: []*task{again}}).fate(); got != fateWait {
		t.Errorf("a failure that is tried again decides: fate %d", got)
	}
}

func TestRulesAreFollowed(t *testing.T) {
	s := newScene(t, "bad:", "good:", "alarm: bad good", "tidy: bad good alarm", "quiet: good")
	s.task("alarm").When, s.task("tidy").When, s.task("quiet").When = file.WhenAnyFailed, file.WhenAllDone, file.WhenAnyFailed
	s.launcher.scripts["bad"] = fail
	wantStates(t, s.mustRun(), "bad=failed good=success alarm=success tidy=success quiet=skipped")
}

// TestSomebodysRetryIsLaunched has a person ask for another try of tasks that are
// done with: one that failed, and one that was given up because of it.
func TestSomebodysRetryIsLaunched(t *testing.T) {
	s := newScene(t, "a:", "b: a", "hold:")
	s.launcher.scripts["a"] = failing(1)
	given := make(chan struct{})
	s.plane.refuse = func(call any) error {
		if req, ok := call.(*controlv1.SettleTaskRequest); ok && req.GetTaskId() == "b" {
			close(given)
		}
		return nil
	}
	s.launcher.scripts["hold"] = func(a *agentSim) Exit {
		<-given
		s.plane.mu.Lock() // b is settled in the same hold of the lock that told so
		_, err := s.plane.retry("a", 1)
		_, errB := s.plane.retry("b", 0)
		s.plane.mu.Unlock()
		if err != nil || errB != nil {
			t.Errorf("retry: %v, %v", err, errB)
		}
		return succeed(a)
	}
	wantStates(t, s.mustRun(), "a=success b=success hold=success")
	if want := "0 upstream_failed, 0 up_for_retry, 1 queued, 1 running, 1 success"; s.plane.history("b") != want {
		t.Errorf("history %s\nwant %s", s.plane.history("b"), want)
	}
	// It may ask for b too, before it learns that the person did.
	if slices.ContainsFunc(s.plane.retries, func(r *controlv1.RetryTaskRequest) bool { return r.GetTaskId() != "b" }) {
		t.Errorf("the driver asked for tries itself: %v", s.plane.retries)
	}
}

// TestRetryThatOvertakesASettlement has a person retry a task in the moment in which
// what waits for it is given up because of it.
func TestRetryThatOvertakesASettlement(t *testing.T) {
	s := newScene(t, "a:", "b: a")
	s.launcher.scripts["a"] = failing(1)
	s.plane.refuse = func(call any) error {
		if req, ok := call.(*controlv1.SettleTaskRequest); ok && req.GetTaskId() == "b" {
			_, err := s.plane.retry("a", 1)
			return err
		}
		return nil
	}
	wantStates(t, s.mustRun(), "a=success b=success")
}

// TestSupersededAttemptIsReplaced has a person retry a task that runs: its agent is
// asked to end, killed when it does not, and only then the next try begins.
func TestSupersededAttemptIsReplaced(t *testing.T) {
	s := newScene(t, "a:")
	s.opts.StopWait = time.Millisecond
	s.launcher.scripts["a"] = func(a *agentSim) Exit {
		if a.try == 2 {
			return succeed(a)
		}
		a.report(running, 0, "")
		s.plane.mu.Lock()
		_, err := s.plane.retry("a", 1)
		s.plane.mu.Unlock()
		if err != nil {
			t.Error(err)
		}
		<-a.terminated
		return deaf(a)
	}
	wantStates(t, s.mustRun(), "a=success")
	if s.launcher.most != 1 {
		t.Errorf("%d agents of the task at once", s.launcher.most)
	}
	if got := s.plane.settledAs(); len(got) > 0 {
		t.Errorf("settled %v: a superseded attempt has its outcome", got)
	}
}

// TestRefusedRetryIsLeftToOthers has another driver be quicker.
func TestRefusedRetryIsLeftToOthers(t *testing.T) {
	s := newScene(t, "a:")
	s.task("a").Retry = file.Retry{Times: 1}
	s.launcher.scripts["a"] = fail
	s.plane.refuse = func(call any) error {
		if _, ok := call.(*controlv1.RetryTaskRequest); ok {
			t := s.plane.tasks["a"]
			t.try, t.key = 2, "another's"
			s.plane.move("a", &controlv1.TaskChange{State: queued})
			s.plane.move("a", &controlv1.TaskChange{State: success})
			return status.Error(codes.FailedPrecondition, "the task has moved on")
		}
		return nil
	}
	wantStates(t, s.mustRun(), "a=success")
	if len(s.launcher.launched) != 1 {
		t.Errorf("launched %v", s.launcher.launched)
	}
}
