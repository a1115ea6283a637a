package agentsuite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// Waits, before the scale.
const (
	patience = 15 * time.Second // what a check has beside its own time
	quiet    = 300 * time.Millisecond
	late     = time.Second      // for what follows the end of the agent's process
	cleaning = 10 * time.Second // for the last process to die that was killed
)

// lastWords is how much of what the agent printed goes into the evidence, in bytes.
const lastWords = 2 << 10

// scene is one launch of an agent, with its control plane and all that is seen of both.
// A check may have several, one after the other.
type scene struct {
	*suite.T
	*record
	*plane
	target *Target
	ctx    context.Context //nolint:containedctx // ends a little before the check's own
	dir    string          // private to it
	token  string
	env    []string // of the agent, beside the usual
	ear    *ear
	agent  *exec.Cmd // nil: not launched
	output string    // the file with what the agent printed
	over   chan struct{}
}

// newScene prepares one that has this long. Whatever is left of it ends with the check.
func newScene(t *suite.T, target *Target, within time.Duration) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), t.Scale(within-2*late))
	t.Cleanup(cancel)
	return (&scene{T: t, target: target, ctx: ctx}).another()
}

// another is a fresh scene of the same check.
func (s *scene) another() *scene {
	dir, err := os.MkdirTemp("", "leoflow-conformance-")
	if err != nil {
		s.Broken("no directory: %v", err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	if dir, err = filepath.EvalSymlinks(dir); err == nil {
		err = os.Mkdir(filepath.Join(dir, "tmp"), 0o700)
	}
	if err != nil {
		s.Broken("a directory: %v", err)
	}
	n := &scene{
		T: s.T, target: s.target, ctx: s.ctx, dir: dir, record: newRecord(), over: make(chan struct{}),
		token: fmt.Sprintf("canary.%016x%016x.token", s.Rand().Uint64(), s.Rand().Uint64()),
	}
	n.Hide(n.token)
	n.plane = &plane{t: s.T, record: n.record, hooks: map[string]hook{}, spec: &agentv1.TaskSpec{
		TenantId: "tenant", DagId: "dag", DagVersion: "1", RunId: "manual__2026-01-02T03:04:05+00:00",
		TaskId: "task", TryNumber: 1, Operator: "bash",
	}}
	if n.door, err = newDoor(func() { n.add(moment{word: wordConn}) }); err != nil {
		s.Broken("a listener: %v", err)
	}
	n.Cleanup(n.plane.close)
	if n.ear, err = listen(dir, n.record); err != nil {
		s.Broken("%v", err)
	}
	n.Cleanup(n.ear.close)
	return n
}

// on gives a method's answers to a hook.
func (s *scene) on(method string, h hook) { s.hooks[method] = h }

// beatEvery asks for heartbeats in this interval, from those that h has no other word for.
func (s *scene) beatEvery(d time.Duration, h hook) {
	s.on(heartbeat, func(c *call) error {
		c.beat().BeatInterval = durationOf(d)
		if h == nil {
			return nil
		}
		return h(c)
	})
}

// launch starts the agent with a task that runs these pieces of script.
func (s *scene) launch(pieces ...string) {
	if len(pieces) > 0 || s.spec.GetEntrypoint() == "" && s.spec.GetOperator() == "bash" {
		s.spec.Entrypoint = fmt.Sprintf(prologue, quoted(s.dir)) + strings.Join(pieces, "")
	}
	s.launchSpec()
}

// launchSpec starts the agent with the specification as it is.
func (s *scene) launchSpec() {
	s.up()
	s.output = filepath.Join(s.dir, "printed")
	printed, err := os.Create(s.output)
	if err != nil {
		s.Broken("%v", err)
	}
	defer func() { _ = printed.Close() }()
	s.agent = exec.Command(s.target.Command[0], s.target.Command[1:]...) //nolint:gosec // running it is the work
	s.agent.Env = append(s.environ(), s.env...)
	s.agent.Stdout, s.agent.Stderr = printed, printed // a file: nobody who keeps it open holds anything up
	s.agent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.agent.Start(); err != nil {
		s.Fatalf("the agent does not start: %v", err)
	}
	s.Note("the agent is launched")
	s.Cleanup(s.sweep)
	go func() {
		defer close(s.over)
		_ = s.agent.Wait()
		s.add(moment{word: wordEnd, rest: s.agent.ProcessState.String()})
		s.Note("the agent's process ended: %s", s.agent.ProcessState)
	}()
}

// environ is what the agent is launched with, by the protocol.
func (s *scene) environ() []string {
	var out []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "LEOFLOW_") && !strings.HasPrefix(entry, "AIRFLOW_") && !strings.HasPrefix(entry, "TMPDIR=") {
			out = append(out, entry)
		}
	}
	return append(out,
		"TMPDIR="+filepath.Join(s.dir, "tmp"), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
		"LEOFLOW_CONTROL_PLANE_ADDR="+s.door.addr(), "LEOFLOW_AGENT_TOKEN="+s.token, "LEOFLOW_AGENT_INSECURE=true",
	)
}

// sweep kills what is left of the agent and of its task, by the numbers of those that
// are known to live: a pipe that has not ended has a process behind it.
func (s *scene) sweep() {
	_ = syscall.Kill(-s.agent.Process.Pid, syscall.SIGKILL)
	s.Note("what the agent printed ended so: %s", s.lastWords())
	ctx, cancel := context.WithTimeout(context.Background(), s.Scale(cleaning))
	defer cancel()
	select {
	case <-s.over:
	case <-ctx.Done():
		return
	}
	s.killMarked()
	ms := s.now()
	if begun := len(ms.words("started")); begun == 0 || len(ms.words(wordGone)) >= begun {
		return
	}
	for _, m := range append(ms.words("started"), ms.words("child")...) {
		if pid, err := strconv.Atoi(m.rest); err == nil && pid > 1 {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if !s.wait(ctx, gone) {
		s.Note("a process that the task started lives on")
	}
}

// killMarked kills the processes that still have the scene's directory in their
// environment, where the system tells: what the task started, and the agent's own helpers
// that left its group.
func (s *scene) killMarked() {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is a good one
	mark := []byte("TMPDIR=" + filepath.Join(s.dir, "tmp"))
	for _, path := range paths {
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environ, mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (s *scene) printed() []byte {
	text, err := os.ReadFile(s.output)
	if err != nil {
		s.Note("what the agent printed cannot be read: %v", err)
	}
	return text
}

func (s *scene) lastWords() string {
	text := s.printed()
	return strings.ToValidUTF8(string(text[max(0, len(text)-lastWords):]), "\uFFFD")
}

// until waits for a condition. Without it, the check stops: by its own time, or soon
// after the end of the agent's process.
func (s *scene) until(what string, holds func(moments) bool) moments {
	if !s.wait(s.ctx, func(ms moments) bool { return holds(ms) || ended(ms) }) {
		s.Fatalf("waited in vain for %s; seen: %s", what, s.summary())
	}
	soon, cancel := context.WithTimeout(s.ctx, s.Scale(late))
	defer cancel()
	if !s.wait(soon, holds) {
		s.Fatalf("the agent's process ended before %s; seen: %s", what, s.summary())
	}
	return s.now()
}

// summary says in a line what was seen.
func (s *scene) summary() string {
	var words []string
	for _, m := range s.now() {
		switch {
		case m.word == wordConn || m.method == streamLogs && m.in != nil:
		case m.word == wordEnd:
			words = append(words, "the agent's end ("+m.rest+")")
		case m.word != "":
			words = append(words, "task: "+m.word)
		case m.method == reportState:
			words = append(words, strings.TrimPrefix(m.state().String(), "TASK_STATE_"))
		default:
			words = append(words, m.method)
		}
	}
	if len(words) == 0 {
		return "nothing"
	}
	if n := len(words); n > 30 {
		words = append(append(words[:15:15], "…"), words[n-15:]...)
	}
	return strings.Join(words, ", ")
}

// never fails the check if a condition comes to hold within a short time.
func (s *scene) never(what string, holds func(moments) bool) {
	ctx, cancel := context.WithTimeout(s.ctx, s.Scale(quiet))
	defer cancel()
	if s.wait(ctx, holds) {
		s.Errorf("%s", what)
	}
}

// finish waits for the outcome and the end of the agent's process, and returns the one
// terminal report.
func (s *scene) finish() *agentv1.ReportStateRequest {
	s.until("a terminal report", hasTerminal)
	ms := s.until("the end of the agent's process", ended)
	return ms.terminals()[0].in.(*agentv1.ReportStateRequest)
}

// wantSuccess is finish, and fails the check for another outcome.
func (s *scene) wantSuccess() {
	if out := s.finish(); out.GetState() != stateSuccess {
		s.Fatalf("the task did well and was reported %v, code %d, %q", out.GetState(), out.GetExitCode(), out.GetErrorMessage())
	}
}

// wantFailed is finish, and fails the check unless it is FAILED with a message.
func (s *scene) wantFailed(pieces ...string) *agentv1.ReportStateRequest {
	out := s.finish()
	if out.GetState() != stateFailed {
		s.Fatalf("reported %v, want FAILED", out.GetState())
	}
	if strings.TrimSpace(out.GetErrorMessage()) == "" {
		s.Errorf("FAILED came without a message")
	}
	for _, piece := range pieces {
		if !strings.Contains(out.GetErrorMessage(), piece) {
			s.Errorf("the message %q does not tell %q", out.GetErrorMessage(), piece)
		}
	}
	return out
}

// wantNoTask fails the check if a task was started.
func (s *scene) wantNoTask(why string) {
	if started(s.now()) {
		s.Errorf("the task was started, though %s", why)
	}
}

// control shows, before a task is to be refused, that the agent runs one.
func (s *scene) control() {
	c := s.another()
	c.Note("control: a task that is to succeed")
	c.launch("tell ran\n")
	c.until("the control's task", said("ran"))
	c.wantSuccess()
	s.Note("end of the control")
}
