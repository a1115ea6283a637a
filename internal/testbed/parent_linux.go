package testbed

import "syscall"

// diesWithParent has a process killed when its parent dies, beside what it finds out by
// itself when nobody is left to speak to it.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
