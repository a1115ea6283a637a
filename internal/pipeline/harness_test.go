package pipeline

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// deadline bounds every wait of these tests; nothing takes a part of it when right.
const deadline = time.Minute

func TestMain(m *testing.M) {
	if helper := os.Getenv(helperVariable); helper != "" {
		os.Exit(help(helper))
	}
	goleak.VerifyTestMain(m)
}

// agentSim is an agent that a test scripts.
type agentSim struct {
	plane      *fakePlane
	task       string
	try        int
	terminated chan struct{}
	killed     chan struct{}
	ended      chan struct{}
	once       [2]sync.Once
	exit       Exit
}

func (a *agentSim) Ended() <-chan struct{} { return a.ended }
func (a *agentSim) Terminate()             { a.once[0].Do(func() { close(a.terminated) }) }
func (a *agentSim) Kill()                  { a.once[1].Do(func() { close(a.killed) }) }
func (a *agentSim) Exit() Exit             { return a.exit }

func (a *agentSim) report(state policyv1.TaskState, code int32, message string) {
	cause := controlv1.Cause_CAUSE_UNSPECIFIED
	if state == failed && code > 0 {
		cause = controlv1.Cause_CAUSE_EXIT_NONZERO
	}
	a.plane.report(a.task, int32(a.try), &controlv1.TaskChange{State: state, Cause: cause, ExitCode: code, Message: message})
}

func (a *agentSim) print(stream, message string) {
	a.plane.log(a.task, a.try, &controlv1.LogRecord{Stream: stream, Message: message})
}

// script is what an agent does; it returns how its process ends.
type script func(*agentSim) Exit

// succeed is an agent whose task goes well.
func succeed(a *agentSim) Exit {
	a.report(running, 0, "")
	a.print("stdout", "this is "+a.task)
	a.report(success, 0, "")
	return Exit{}
}

// fail is an agent whose task ends with code 3.
func fail(a *agentSim) Exit {
	a.report(running, 0, "")
	a.report(failed, 3, "exited with code 3")
	return Exit{}
}

// untilTold is an agent that works until it is told to stop, and reports that.
func untilTold(a *agentSim) Exit {
	a.report(running, 0, "")
	<-a.terminated
	a.report(failed, -15, "asked to stop")
	return Exit{}
}

// deaf is an agent that only a kill ends.
func deaf(a *agentSim) Exit {
	a.report(running, 0, "")
	<-a.killed
	return Exit{Code: -9, Signal: "killed"}
}

// simLauncher launches scripted agents and remembers the order.
type simLauncher struct {
	plane   *fakePlane
	scripts map[string]script // by task; none: succeed
	refuse  error

	mu       sync.Mutex
	launched []string
	living   int
	most     int
}

func (l *simLauncher) Launch(at Attempt) (Process, error) {
	if l.refuse != nil {
		return nil, l.refuse
	}
	if at.Token != "token of "+at.TaskID {
		return nil, errors.New("a wrong token")
	}
	a := &agentSim{
		plane: l.plane, task: at.TaskID, try: at.Try,
		terminated: make(chan struct{}), killed: make(chan struct{}), ended: make(chan struct{}),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.launched = append(l.launched, at.TaskID)
	l.living++
	l.most = max(l.most, l.living)
	act := l.scripts[at.TaskID]
	if act == nil {
		act = succeed
	}
	go func() {
		a.exit = act(a)
		l.mu.Lock()
		l.living--
		l.mu.Unlock()
		close(a.ended)
	}()
	return a, nil
}

// scene is a run about to be driven.
type scene struct {
	t        *testing.T
	plane    *fakePlane
	launcher *simLauncher
	out      bytes.Buffer
	opts     Options
}

// newScene reads a pipeline given as lines "task: upstream upstream".
func newScene(t *testing.T, graph ...string) *scene {
	t.Helper()
	var b strings.Builder
	b.WriteString("name: scene\ntasks:\n")
	for _, line := range graph {
		id, after, _ := strings.Cut(line, ":")
		b.WriteString("  - id: \"" + id + "\"\n    bash: \"true\"\n")
		if ids := strings.Fields(after); len(ids) > 0 {
			b.WriteString("    after: [" + strings.Join(ids, ", ") + "]\n")
		}
	}
	p, err := file.Parse("scene.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	plane := newFakePlane(t)
	s := &scene{t: t, plane: plane, launcher: &simLauncher{plane: plane, scripts: map[string]script{}}}
	quick := defaultPace
	quick.firstWait, quick.maxWait = time.Millisecond, 2*time.Millisecond
	s.opts = Options{
		Pipeline: p, Launcher: s.launcher, Out: &s.out, RunID: "run", Parallel: 4,
		StopWait: deadline, pace: &quick,
	}
	return s
}

// task is a task of the file, to be changed before the run.
func (s *scene) task(id string) *file.Task {
	s.t.Helper()
	for i := range s.opts.Pipeline.Tasks {
		if t := &s.opts.Pipeline.Tasks[i]; t.ID == id {
			return t
		}
	}
	s.t.Fatalf("no task %q", id)
	return nil
}

// run drives the run to its end.
func (s *scene) run(ctx context.Context) (Result, error) {
	s.t.Helper()
	s.opts.Client = s.plane.client()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	result, err := Run(ctx, s.opts)
	s.launcher.mu.Lock()
	defer s.launcher.mu.Unlock()
	if s.launcher.living != 0 {
		s.t.Errorf("%d agents outlive the run", s.launcher.living)
	}
	return result, err
}

// mustRun drives the run to its end, which must be an orderly one.
func (s *scene) mustRun() Result {
	s.t.Helper()
	result, err := s.run(s.t.Context())
	if err != nil {
		s.t.Fatalf("run: %v\n%s", err, s.out.String())
	}
	return result
}

// states are the tasks' states, as "a=success b=failed".
func states(r Result) string {
	var words []string
	for _, t := range r.Tasks {
		words = append(words, t.ID+"="+string(t.State))
	}
	return strings.Join(words, " ")
}

func wantStates(t *testing.T, r Result, want string) {
	t.Helper()
	if got := states(r); got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}
