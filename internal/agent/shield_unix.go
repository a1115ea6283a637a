//go:build unix && !linux

package agent

// shield has nothing to do here, where a process's environment and memory are shown
// to those of its user as the system has it.
func shield() error { return nil }
