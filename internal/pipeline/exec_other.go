//go:build unix && !linux

package pipeline

import "syscall"

// sysProcAttr makes a process the leader of a session. That it ends when its parent
// dies cannot be asked for here.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// awaitEnd leaves waiting to whoever reaps.
func awaitEnd(int) {}

// sweep does nothing: without a way to wait before reaping, the number of an ended
// process may be another's by now.
func sweep(int) {}
