package agent

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func TestRun2ExitCodes(t *testing.T) {
	long := strings.Repeat("e", 3000)
	for name, c := range map[string]struct {
		script string
		state  agentv1.TaskState
		code   int32
		want   string
	}{
		"success":     {"echo fine >&2", success, 0, ""},
		"code":        {"echo first >&2; echo ' why '>&2; echo >&2; exit 3", failure, 3, "exited with code 3: why"},
		"silent":      {"exit 255", failure, 255, "exited with code 255"},
		"signal":      {"kill -KILL $$", failure, -9, "killed by signal 9 (killed)"},
		"long reason": {"echo " + long + " >&2; exit 1", failure, 1, "exited with code 1: " + long[:1024]},
		"stdin":       {"cat; read -r x && exit 9; exit 0", success, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: bash(c.script)}
			if code := newBench(t, f).run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			wantOutcome(t, f.terminal(t), c.state, c.code, c.want)
		})
	}
}

func TestRun2NoBash(t *testing.T) {
	f := &fake{spec: bash("echo ran")}
	b := newBench(t, f)
	t.Setenv("PATH", t.TempDir())
	b.run(t)
	if got := f.terminal(t); got.GetState() != failure || !strings.HasPrefix(got.GetErrorMessage(), "the task could not be started: bash was not found") {
		t.Errorf("reported %v", got)
	}
}

func namedPipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// gate returns a command that ends once open is called, which waits for no reader.
func gate(t *testing.T) (command string, open func()) {
	t.Helper()
	path := namedPipe(t)
	return "read -r x <> '" + path + "'", func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			_, err = f.WriteString("go\n")
		}
		if err != nil {
			t.Error(err)
		}
		t.Cleanup(func() { _ = f.Close() }) // what is unread goes with the last who holds it
	}
}

// fifo returns the path of a pipe, and a channel that closes when every process that
// opened it for writing is gone. The test itself waits for the first writer.
func fifo(t *testing.T) (path string, gone <-chan struct{}) {
	t.Helper()
	path = namedPipe(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = os.ReadFile(path)
	}()
	return path, done
}

func TestRun3TimeoutStopsTheGroup(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		grace  time.Duration
		want   string
		code   int32
	}{
		"polite":        {`sleep 1000 & echo up; sleep 1000`, 30 * time.Second, "timed out after 1s (killed by signal 15 (terminated))", -15},
		"deaf":          {`trap '' TERM; sleep 1000 & echo up; sleep 1000; sleep 1000`, 50 * time.Millisecond, "timed out after 1s (killed by signal 9 (killed))", -9},
		"exits well":    {`trap 'exit 0' TERM; sleep 1000 & echo up; wait`, 30 * time.Second, "timed out after 1s", 0},
		"deaf orphan":   {`(trap '' TERM; echo up; exec >/dev/null 2>&1; sleep 1000; sleep 1000) & sleep 1000`, 100 * time.Millisecond, "timed out after 1s (killed by signal 15 (terminated))", -15},
		"stopped shell": {`(until [ ! -e /proc/$$/stat ] || [[ $(</proc/$$/stat) = *") T "* ]]; do :; done; echo up) & kill -STOP $$; sleep 1000`, 30 * time.Second, "timed out after 1s (killed by signal 15 (terminated))", -15},
	} {
		t.Run(name, func(t *testing.T) {
			held, gone := fifo(t)
			f := &fake{spec: bash("exec 9>'" + held + "'\n" + c.script)}
			f.spec.ExecutionTimeoutSeconds = 1
			over := make(chan time.Time)
			f.onStream = f.upon("up", func() { close(over) })
			b := newBench(t, f)
			b.pace.after = func(limit time.Duration) <-chan time.Time {
				if limit != time.Second {
					t.Errorf("the task may run for %v", limit)
				}
				return over
			}
			b.cfg.Grace = c.grace
			b.run(t)
			await(t, gone, "the end of the task's whole group")
			wantOutcome(t, f.terminal(t), failure, c.code, c.want)
		})
	}
}

func TestRun3OrphanHoldsOutput(t *testing.T) {
	for name, escape := range map[string]string{"in the group": "", "out of the group": "setsid "} {
		t.Run(name, func(t *testing.T) {
			held, gone := fifo(t)
			ready := namedPipe(t)
			f := &fake{spec: bash(escape + `bash -c 'exec 9>"` + held + `"; echo $$; echo > "` + ready + `"; sleep 1000' & read -r x < '` + ready + `'; printf last`)}
			b := newBench(t, f)
			b.pace.linger = 300 * time.Millisecond
			if code := b.run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			wantOutcome(t, f.terminal(t), success, 0, "")
			out := f.texts("stdout")
			if len(out) != 2 || out[1] != "last" {
				t.Fatalf("lines %q", out)
			}
			if escape != "" { // nobody's to kill but the test's
				kill(t, out[0])
			}
			await(t, gone, "the end of the orphan")
			if got := f.texts("agent"); len(got) != 1 || !strings.Contains(got[0], "held its output open") {
				t.Errorf("the agent says %q", got)
			}
		})
	}
}

// TestLog1SlowSinkIsNoHeldOutput ends a task with a full backlog: what its output
// still holds is waited for, as long as it may.
func TestLog1SlowSinkIsNoHeldOutput(t *testing.T) {
	lines := newBacklog(1, time.Hour)
	for filler := strings.Repeat("x", 64<<10); lines.queued+len(filler)+lineOverhead <= maxQueued; {
		lines.put(streamStderr, agentv1.LogLevel_LOG_LEVEL_ERROR, filler)
	}
	const size = 60_000 // a pipe holds it, so that the task ends
	p, err := launch(command{
		argv: []string{"bash", "-c", "head -c 60000 /dev/zero | tr '\\0' '\\n'"},
		env:  environment{"PATH": "/usr/local/bin:/usr/bin:/bin"},
	}, &children{})
	if err != nil {
		t.Fatal(err)
	}
	go p.read(lines)
	await(t, p.exited, "the end of the task")
	for over := time.Now().Add(patient); !lines.heldUp(); runtime.Gosched() {
		if time.Now().After(over) {
			t.Fatal("the full backlog holds up no reader")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if p.drainedWithin(ctx, lines, time.Millisecond) || ctx.Err() == nil {
		t.Fatal("did not wait for the backlog")
	}
	held := make(chan bool, 1)
	go func() { held <- p.drain(t.Context(), lines, patient) }()
	taken := 0
	for {
		e, changed, _ := lines.next()
		if e != nil {
			if e.line.GetStream() == streamStdout {
				taken++
			}
			lines.commit(e)
			continue
		}
		select {
		case <-changed:
			continue
		case <-p.drained:
		}
		if e, _, _ := lines.next(); e == nil {
			break
		}
	}
	if await(t, held, "the end of the output") || taken != size {
		t.Errorf("%d lines of %d came", taken, size)
	}
}

func kill(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}
