package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// maxHint is where the last line of standard error is cut in an error message.
const maxHint = 1024

// groupPoll is how often a stopping process group is looked at once its leader ended.
const groupPoll = 20 * time.Millisecond

// process is a task's command: the leader of a process group of its own, with both
// outputs read into a backlog.
//
// The group's number is the leader's. The system may give it to a stranger once the
// leader is reaped and the group is empty, so the leader is kept unreaped for as long as
// the group may be signalled: it is seen to end without being reaped, and is reaped by
// release, after which no signal is sent. What can signal a process by a handle that is
// never reused, as Go does, cannot signal its group so.
type process struct {
	cmd     *exec.Cmd
	kin     *children
	exited  chan struct{} // closed once the leader ended
	drained chan struct{} // closed once both outputs were read to their end
	outputs []*os.File
	hint    string // the last line of standard error with anything in it; valid once drained

	mu       sync.Mutex
	released bool
}

// launch starts a task's command. It reads nothing, and stays in the agent's own
// working directory. Whoever launches it has its outputs read, once it is ready for what
// their lines lead to.
func launch(c command, kin *children) (*process, error) {
	cmd := exec.Command(c.argv[0], c.argv[1:]...) //nolint:gosec // running what the task says is the work
	p := &process{cmd: cmd, kin: kin, exited: make(chan struct{}), drained: make(chan struct{})}
	p.cmd.Env = c.env.list()
	p.cmd.SysProcAttr = taskAttr()
	stdout, err := p.pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = stdout.Close() }()
	stderr, err := p.pipe()
	if err != nil {
		p.closeOutputs()
		return nil, err
	}
	defer func() { _ = stderr.Close() }()
	// Files, not writers: so that Wait does not wait for whoever inherited them.
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		p.closeOutputs()
		return nil, err
	}
	return p, nil
}

// run starts the leader and stays until it ended. It keeps its thread: Linux takes the
// end of the thread that started a process for that of its parent.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.kin.start(p.cmd)
	started <- err
	if err == nil {
		awaitEnd(p.cmd)
		close(p.exited)
	}
}

// pipe returns the writing end of a new output.
func (p *process) pipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("no pipe for the task's output: %w", err)
	}
	p.outputs = append(p.outputs, r)
	return w, nil
}

// read reads both outputs to their end, whatever becomes of the lines (A-LOG-1).
func (p *process) read(lines *backlog) {
	defer close(p.drained)
	var wg sync.WaitGroup
	wg.Go(func() {
		splitLines(p.outputs[0], func(line string) {
			lines.put(streamStdout, agentv1.LogLevel_LOG_LEVEL_INFO, line)
		})
	})
	wg.Go(func() {
		splitLines(p.outputs[1], func(line string) {
			if text := strings.TrimSpace(line); text != "" {
				p.hint = text
			}
			lines.put(streamStderr, agentv1.LogLevel_LOG_LEVEL_ERROR, line)
		})
	})
	wg.Wait()
}

// over reports whether the leader has ended.
func (p *process) over() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// signal sends a signal to the whole group; without effect once the process is released.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.released {
		_ = syscall.Kill(-p.cmd.Process.Pid, sig) // fails where nothing of it is left
	}
}

// release reaps the leader, which must have ended, and those of its group that became
// the agent's own children when their parent ended.
func (p *process) release() {
	p.mu.Lock()
	p.released = true
	p.mu.Unlock()
	p.kin.reap(p.cmd)
}

// stop asks the group to end, and kills what of it is left after the grace, or once
// kill is closed (A-RUN-3). It returns once the leader has ended.
func (p *process) stop(grace time.Duration, kill <-chan struct{}) {
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT) // a stopped process would not see it
	timer := time.NewTimer(grace)
	defer timer.Stop()
	exited := p.exited
	var poll <-chan time.Time
	for {
		select {
		case <-exited:
			ticker := time.NewTicker(groupPoll)
			defer ticker.Stop()
			exited, poll = nil, ticker.C
			continue
		case <-poll:
			if groupAlive(p.cmd.Process.Pid) {
				continue
			}
			return
		case <-timer.C:
		case <-kill:
		}
		p.signal(syscall.SIGKILL)
		<-p.exited
		return
	}
}

// drain waits for the output of an ended process to end, then kills what is left of
// the group, lets go of outputs that something outside it still holds, and releases the
// process. It reports whether it had to cut off the output. Until ctx is done a full
// backlog may hold up the reading.
func (p *process) drain(ctx context.Context, lines *backlog, linger time.Duration) (held bool) {
	held = !p.drainedWithin(ctx, lines, linger)
	p.signal(syscall.SIGKILL)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if held && !p.drainedWithin(ctx, lines, time.Second) {
		for _, r := range p.outputs {
			_ = r.SetReadDeadline(time.Now())
		}
	}
	<-p.drained
	p.closeOutputs()
	p.release()
	return held
}

// drainedWithin waits for d, and again as long as it was the backlog that held up the
// reading, until ctx is done.
func (p *process) drainedWithin(ctx context.Context, lines *backlog, d time.Duration) bool {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-p.drained:
			return true
		case <-ctx.Done():
			return false
		case <-ticker.C:
			if !lines.heldUp() {
				return false
			}
		}
	}
}

func (p *process) closeOutputs() {
	for _, r := range p.outputs {
		_ = r.Close()
	}
}

// result returns how the process ended: its exit code, or the negative number of the
// signal that killed it, and a message about it; empty for code 0. It must be released.
func (p *process) result() (code int32, message string) {
	status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled():
		code = -int32(status.Signal()) //nolint:gosec // at most 127
		message = fmt.Sprintf("killed by signal %d (%s)", int(status.Signal()), status.Signal())
	case status.ExitStatus() != 0:
		code = int32(status.ExitStatus()) //nolint:gosec // at most 255
		message = fmt.Sprintf("exited with code %d", code)
	default:
		return 0, ""
	}
	if p.hint != "" {
		message += ": " + domain.CutString(p.hint, maxHint)
	}
	return code, message
}
