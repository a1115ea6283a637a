package agent

import (
	"os/exec"
	"sync"
	"syscall"
)

// children are the processes that this agent started itself, as against those that it
// inherits when their parent ends: as a container's first process it inherits every
// orphan there is. Its own are reaped by whoever waits for them, and the others by
// reapStrangers, which must not take the exit status of one of them.
type children struct {
	mu   sync.Mutex
	mine map[int]bool // by process number, from the start until reaped
}

// start starts a command. Whoever reaps strangers waits meanwhile: between its birth
// and its being known a child would look like one.
func (c *children) start(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	if c.mine == nil {
		c.mine = map[int]bool{}
	}
	c.mine[cmd.Process.Pid] = true
	return nil
}

// reap waits for a command that has ended, after which its state tells how, and for
// what of its group this agent inherited.
func (c *children) reap(cmd *exec.Cmd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = cmd.Wait() // its state tells all
	delete(c.mine, cmd.Process.Pid)
	for {
		pid, err := syscall.Wait4(-cmd.Process.Pid, nil, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}
