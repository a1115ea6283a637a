//go:build unix && !linux

package main

import (
	"os/exec"
	"strconv"
	"testing"
)

// places are a process among others.
func places(*testing.T) []place {
	return []place{{
		"among others", func(*exec.Cmd) {},
		func(cmd *exec.Cmd) string { return strconv.Itoa(cmd.Process.Pid) },
	}}
}
