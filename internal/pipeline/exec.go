package pipeline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// ownPrefix begins the variables that are this product's.
const ownPrefix = "LEOFLOW_"

// outputWait is how long an ended agent's own output is waited for, where something
// else holds it open.
const outputWait = 2 * time.Second

// Exec launches agents as processes of this machine. Each leads a session of its
// own, so that a terminal's signals do not reach it and what it leaves behind can be
// found, and does not outlive the process that launched it.
type Exec struct {
	// Command is the agent's program, and its arguments. An argument {temp} becomes
	// the attempt's temporary directory.
	Command []string
	// Addr is the control plane's host:port, and CAFile a PEM file of the authority
	// that certifies it; empty: one of the system's.
	Addr, CAFile string
	// Plaintext has agents speak without TLS; they get no secrets then.
	Plaintext bool
	// Dir is where tasks run.
	Dir string
	// TempDir is where each attempt's temporary directory is made, and removed again.
	TempDir string
	// Environ is what agents and tasks inherit, as KEY=value. Its LEOFLOW_ variables
	// are ours and not theirs, so they are left out, but for LEOFLOW_PYTHON.
	Environ []string

	outputWait time.Duration // 0: outputWait
}

// Launch starts an agent. The token is in its environment alone.
func (e *Exec) Launch(a Attempt) (Process, error) {
	temp, err := os.MkdirTemp(e.TempDir, "attempt-")
	if err != nil {
		return nil, err
	}
	args := make([]string, len(e.Command))
	for i, arg := range e.Command {
		args[i] = strings.ReplaceAll(arg, "{temp}", temp)
	}
	p := &execProcess{temp: temp, ended: make(chan struct{})}
	p.cmd = exec.Command(args[0], args[1:]...) //nolint:gosec // the agent is the caller's choice
	p.cmd.Dir = e.Dir
	p.cmd.Env = e.environ(a)
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	if p.cmd.WaitDelay = e.outputWait; p.cmd.WaitDelay == 0 {
		p.cmd.WaitDelay = outputWait
	}
	p.cmd.SysProcAttr = sysProcAttr()
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (e *Exec) environ(a Attempt) []string {
	var env []string
	for _, kv := range e.Environ {
		if !strings.HasPrefix(kv, ownPrefix) || strings.HasPrefix(kv, domain.EnvPython+"=") {
			env = append(env, kv)
		}
	}
	if e.CAFile != "" {
		env = append(env, domain.EnvAgentTLSCA+"="+e.CAFile)
	}
	return append(env, domain.EnvControlPlaneAddr+"="+e.Addr, domain.EnvAgentToken+"="+a.Token, domain.EnvAgentInsecure+"="+strconv.FormatBool(e.Plaintext))
}

// execProcess is an agent's process.
type execProcess struct {
	cmd   *exec.Cmd
	temp  string
	said  tail
	ended chan struct{}
}

// run starts the process and stays with it. It keeps its thread: Linux sends the
// parent-death signal when the thread that started a process ends, and only a locked
// one is sure to stay.
func (p *execProcess) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	if err != nil {
		_ = os.RemoveAll(p.temp)
		started <- err
		return
	}
	started <- nil
	awaitEnd(p.cmd.Process.Pid)
	sweep(p.cmd.Process.Pid)
	_ = p.cmd.Wait() // its state tells all
	_ = os.RemoveAll(p.temp)
	close(p.ended)
}

func (p *execProcess) Ended() <-chan struct{} { return p.ended }

func (p *execProcess) Terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

func (p *execProcess) Kill() { _ = p.cmd.Process.Kill() }

func (p *execProcess) Exit() Exit {
	exit := Exit{Said: p.said.lines()}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Code, exit.Signal = -int(status.Signal()), status.Signal().String()
	} else {
		exit.Code = p.cmd.ProcessState.ExitCode()
	}
	return exit
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
	cut  bool
}

const (
	maxTailBytes = 8 << 10
	maxTailLines = 20
)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - maxTailBytes; over > 0 {
		t.text, t.cut = append(t.text[:0], t.text[over:]...), true
	}
	return len(b), nil
}

// lines returns the last whole lines that are not empty.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := strings.Split(string(t.text), "\n")
	if t.cut {
		all = all[1:]
	}
	var out []string
	for _, line := range all {
		if strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-maxTailLines):]
}

// WriteCA writes the authority's PEM into a new directory of its owner's alone within
// dir, and returns the file.
func WriteCA(dir string, pem []byte) (string, error) {
	own, err := os.MkdirTemp(dir, "ca-") // mode 0700
	if err != nil {
		return "", fmt.Errorf("a place for the certificate: %w", err)
	}
	path := filepath.Join(own, "ca.pem")
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		return "", fmt.Errorf("write the certificate: %w", err)
	}
	return path, nil
}
