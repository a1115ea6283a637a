//go:build unix && !linux

package agent

import (
	"errors"
	"os/exec"
	"syscall"
)

// adoptOrphans has nothing to do here: orphans go to the system's first process,
// which reaps them at once.
func adoptOrphans() error { return nil }

// taskAttr makes a task the leader of a process group. That it ends when its agent is
// killed cannot be asked for here.
func taskAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd returns once a command's process has ended. It is reaped by that, as there is
// no portable way to leave it: its group keeps its number while it has members.
func awaitEnd(cmd *exec.Cmd) { _ = cmd.Wait() }

// groupAlive reports whether a process group has a member.
func groupAlive(leader int) bool {
	return !errors.Is(syscall.Kill(-leader, 0), syscall.ESRCH)
}

// reapStrangers has nothing to do here, as there are none.
func (c *children) reapStrangers() {}
