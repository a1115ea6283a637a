package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRun3KilledAgentLeavesNoTask kills an agent that nobody sweeps up after. Its task
// heeds no other signal, and holds a pipe open for as long as it lives.
func TestRun3KilledAgentLeavesNoTask(t *testing.T) {
	path := filepath.Join(t.TempDir(), "held")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, newBare(`trap '' TERM HUP PIPE; exec 9> '`+path+`'; echo $$ >&9; while :; do :; done`))
	r.start()
	held, err := os.Open(path) // waits for the task
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	in := bufio.NewReader(held)
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	task, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGKILL)
	_ = r.cmd.Wait()
	over := make(chan error, 1)
	go func() {
		_, err := in.ReadByte()
		over <- err
	}()
	select {
	case err := <-over:
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	case <-time.After(deadline):
		_ = syscall.Kill(task, syscall.SIGKILL)
		t.Error("the task works on, without its agent")
	}
}
