package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// TestANet1AFollowedLogOutlivesTheServer kills the server, and then ends it in order,
// below somebody who follows a log: each line is shown once.
func TestANet1AFollowedLogOutlivesTheServer(t *testing.T) {
	s := &served{t: t, data: filepath.Join(t.TempDir(), "data"), creds: insecure.NewCredentials()}
	serve, addr, _ := startServe(t, s.data)
	s.addr = addr
	s.connect().createRun("r", task("t"))
	a := s.launch("r", "t", 1)
	a.log("stdout", 1, "one")
	follow := s.start("logs", "-f", "etl", "r", "t")
	follow.awaitLine("│ one")
	for i, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		serve.signal(sig)
		serve.end()
		serve, _, _ = startServe(t, s.data, "--addr", addr)
		a.client, a.lines = agentv1.NewAgentServiceClient(s.dial()), nil
		text := []string{"two", "three"}[i]
		a.log("stdout", int64(i)+2, text)
		follow.awaitLine("│ " + text)
	}
	a.succeed()
	a.endLog()
	got := follow.end()
	got.wantCode(t, exitOK)
	if got.out != "│ one\n│ two\n│ three\n" {
		t.Errorf("followed:\n%s%s", got.out, got.errOut)
	}
	for line := range strings.Lines(got.errOut) {
		if !strings.HasPrefix(line, "leoflow: unavailable: ") || !strings.HasSuffix(line, "; reading on once it is back\n") {
			t.Errorf("said: %s", line)
		}
	}
}

// TestAnOutageIsOutlastedForAWhile holds what is tried again, and how long.
func TestAnOutageIsOutlastedForAWhile(t *testing.T) {
	away := status.Error(codes.Unavailable, "away")
	refused := status.Error(codes.NotFound, "none")
	for name, tc := range map[string]struct {
		patience time.Duration
		answers  []error // one a call; the last one again and again
		more     bool
		want     error
		told     int
	}{
		"well":         {deadline, []error{nil}, false, nil, 0},
		"refused":      {deadline, []error{refused}, false, refused, 0},
		"back":         {deadline, []error{away, away, nil}, false, nil, 1},
		"back, gone":   {deadline, []error{away, refused}, false, refused, 1},
		"two outages":  {deadline, []error{away, away, nil}, true, nil, 2},
		"for too long": {time.Nanosecond, []error{away}, false, away, 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls, told := 0, 0
			err := outlast(t.Context(), tc.patience, func() (bool, error) {
				answer := tc.answers[min(calls, len(tc.answers)-1)]
				calls++
				return tc.more, answer
			}, func(error) { told++ })
			if !errors.Is(err, tc.want) || told != tc.told {
				t.Errorf("%v after %d calls, told %d times", err, calls, told)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := outlast(ctx, deadline, func() (bool, error) { cancel(); return false, away }, func(error) {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after a signal: %v", err)
	}
}
