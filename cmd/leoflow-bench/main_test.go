package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowEnv makes the servers of ours slow, in the processes that a test starts.
const slowEnv = "LEOFLOW_BENCH_TEST_SLOW"

// TestMain is the program where it is started as a child, as the command starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		if method := os.Getenv(slowEnv); method != "" {
			beforeHandler = func(_ context.Context, called string) {
				if strings.HasSuffix(called, "/"+method) {
					spin(500 * time.Millisecond)
				}
			}
		}
		main()
	}
	os.Exit(m.Run())
}

// spin takes the processor for a while.
func spin(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
		continue
	}
}

// shared is written to by the children of a run, all at once.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// benchRun runs the program.
func benchRun(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr shared
	code = run(args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// file writes a file and returns its name.
func file(t *testing.T, text string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}
