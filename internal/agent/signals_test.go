package agent

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func send(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

func TestSignalsFirstStopsSecondKills(t *testing.T) {
	for sig, want := range map[syscall.Signal]string{
		syscall.SIGTERM: "agent was asked to stop by SIGTERM",
		syscall.SIGINT:  "agent was asked to stop by SIGINT",
	} {
		s := catchSignals()
		defer s.stop()
		send(t, sig)
		await(t, s.ctx.Done(), "the first signal")
		if got := askedToStop(s.ctx); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		select {
		case <-s.kill:
			t.Error("the first signal kills")
		default:
		}
		send(t, syscall.SIGTERM)
		await(t, s.kill, "the second signal")
	}
}

func TestSignalsForTheTask(t *testing.T) {
	s := catchSignals()
	defer s.stop()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		send(t, sig)
		if got := await(t, s.pass, sig.String()); got != sig {
			t.Errorf("got %v, want %v", got, sig)
		}
	}
	if s.ctx.Err() != nil {
		t.Error("they stop the agent")
	}
}

// The tasks of these tests are busy, as a shell that begins to wait in the moment of a
// signal may not heed it.

// TestRun3KillEndsTheGrace stops a deaf task for each reason, and kills it then.
func TestRun3KillEndsTheGrace(t *testing.T) {
	for name, want := range map[string]string{
		"signal":    "agent was asked to stop by SIGTERM (killed by signal 9 (killed))",
		"time-out":  "timed out after 1s (killed by signal 9 (killed))",
		"cancelled": "stopped: cancelled (killed by signal 9 (killed))",
	} {
		t.Run(name, func(t *testing.T) {
			held, gone := fifo(t)
			f := &fake{spec: bash("exec 9>'" + held + "'; trap 'echo asked' TERM; echo up; while :; do :; done")}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			kill, up := make(chan struct{}), make(chan struct{})
			timeout := make(chan time.Time)
			f.spec.ExecutionTimeoutSeconds = 1
			f.onStream = func(_ int, s lineStream) error {
				_, err := f.take(s, func(line *agentv1.LogLine) bool {
					switch line.GetMessage() {
					case "up":
						close(up)
						switch name {
						case "signal":
							cancel(signalled{syscall.SIGTERM})
						case "time-out":
							close(timeout)
						}
					case "asked":
						close(kill)
					}
					return false
				})
				return err
			}
			f.onBeat = func(context.Context, int) (*agentv1.HeartbeatResponse, error) {
				select {
				case <-up:
					return &agentv1.HeartbeatResponse{ShouldTerminate: name == "cancelled", Reason: cancelled}, nil
				default:
					return &agentv1.HeartbeatResponse{}, nil
				}
			}
			b := newBench(t, f)
			b.pace.after = func(time.Duration) <-chan time.Time { return timeout }
			b.cfg.Grace, b.cfg.Kill = time.Hour, kill
			if code := b.runCtx(ctx, t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			await(t, gone, "the end of the task")
			wantOutcome(t, f.terminal(t), failure, -9, want)
		})
	}
}

// TestRunPassesSignalsOn also holds that one is dropped while there is no task to have it.
func TestRunPassesSignalsOn(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		t.Run(sig.String(), func(t *testing.T) {
			pass := make(chan os.Signal)
			f := &fake{spec: bash(fmt.Sprintf("trap 'exit 5' %d; echo up; while :; do :; done", int(sig)))}
			b := newBench(t, f)
			f.onCall = func(m string, nth int) error {
				if m == "GetTaskSpec" && nth == 1 {
					pass <- sig
					return status.Error(codes.Unavailable, "later")
				}
				return nil
			}
			f.onStream = f.upon("up", func() { pass <- sig })
			b.cfg.Pass = pass
			if code := b.run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			wantOutcome(t, f.terminal(t), failure, 5, "exited with code 5")
			if strings.Count(b.log.String(), "a signal is dropped, as no task runs") != 1 {
				t.Errorf("said %s", b.log.String())
			}
		})
	}
}
