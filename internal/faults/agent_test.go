package faults

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// agent is an agent's process.
type agent struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
}

// agent starts an agent of the control plane at addr.
func (r *rig) agent(addr, token string) *agent {
	r.t.Helper()
	temp := r.t.TempDir()
	a := &agent{t: r.t, cmd: exec.Command(program), ended: make(chan struct{})}
	a.cmd.Dir = temp
	a.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + temp, "TMPDIR=" + temp,
		"LEOFLOW_CONTROL_PLANE_ADDR=" + addr, "LEOFLOW_AGENT_TOKEN=" + token,
	}
	log := must[*os.File](r.t)(os.Create(temp + "/agent.log")) // a file: waiting waits for the process alone
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if err := a.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	_ = log.Close()
	go func() {
		defer close(a.ended)
		_ = a.cmd.Wait() // its state tells all
	}()
	r.t.Cleanup(func() {
		a.signal(syscall.SIGKILL) // also of one that is stopped
		<-a.ended
		if r.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			r.t.Logf("the agent's log:\n%s", text)
		}
	})
	return a
}

func (a *agent) signal(sig syscall.Signal) { _ = a.cmd.Process.Signal(sig) }

// kill kills the agent and waits for its end; nobody tells how its task ended.
func (a *agent) kill() {
	a.signal(syscall.SIGKILL)
	<-a.ended
}

// stop stops the agent, and waits until it stands still.
func (a *agent) stop() {
	a.t.Helper()
	a.signal(syscall.SIGSTOP)
	eventually(a.t, "stopped: the agent", func() bool { return a.state() == "T" })
}

// state is the letter of the process's state, as proc(5) has it; ps(1) tells where
// there is no such file.
func (a *agent) state() string {
	a.t.Helper()
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(a.cmd.Process.Pid) + "/stat"); err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return state[:1]
	}
	out, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(a.cmd.Process.Pid)).Output()
	if err != nil {
		a.t.Fatalf("ps: %v", err)
	}
	return strings.TrimSpace(string(out))[:1]
}

// resume continues a stopped agent.
func (a *agent) resume() { a.signal(syscall.SIGCONT) }

// wantExit waits for the agent's end by itself, and compares the exit code.
func (a *agent) wantExit(code int) {
	a.t.Helper()
	await(a.t, "ended: the agent", a.ended)
	if got := a.cmd.ProcessState.ExitCode(); got != code {
		a.t.Errorf("the agent ended with %v, want code %d", a.cmd.ProcessState, code)
	}
}
