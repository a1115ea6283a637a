//go:build unix && !linux

package testbed

import "syscall"

// diesWithParent is nothing here: a process finds out by itself that nobody is left to
// speak to it.
func diesWithParent() *syscall.SysProcAttr { return nil }
