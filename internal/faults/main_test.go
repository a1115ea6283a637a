package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// deadline bounds every wait of these tests; nothing takes a part of it when right.
const deadline = 5 * time.Minute

// window is a window of silence, long enough for a beat to be late on a busy machine.
const window = 4 * time.Second

// program is the agent, built once.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leoflow-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "leoflow-agent")
	build := exec.Command("go", "build", "-race=false", "-o", program, "github.com/neochaotic/leoflow/cmd/leoflow-agent")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	// The tests wait more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// eventually waits until done holds, and fails the test where it never does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	over := time.NewTimer(deadline)
	defer over.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-over.C:
			t.Fatalf("never %s", what)
		}
	}
}

// await waits for what a channel brings.
func await[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	over := time.NewTimer(deadline)
	defer over.Stop()
	select {
	case v := <-from:
		return v
	case <-over.C:
		t.Fatalf("never %s", what)
		panic("not reached")
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
