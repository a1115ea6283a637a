package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestTimezonesExample runs the README's first command, on a copy.
func TestTimezonesExample(t *testing.T) {
	dir := copyExamples(t)
	got := leoflow(t, "run", filepath.Join(dir, "timezones.yaml"))
	got.wantCode(t, exitOK)
	got.wantIn(t, "extract │ 312 zones\n", "report  │ # The world's time zones\n")
	table := regexp.MustCompile(`\n\nTASK +STATE +TRY +DURATION +CAUSE\nextract +success +1 +\d+\.\d+s\nreport +success +1 +\d+\.\d+s\n\nTIMELINE +0s +\d+\.\d+s\nextract +░*█+\nreport +░*█+\n░ agent starts .*\n\ntimezones: 2 success in \d+\.\d+s\n$`)
	if !table.MatchString(got.out) {
		t.Errorf("no such table:\n%s", got.out)
	}
	report, err := os.ReadFile(filepath.Join(dir, "out", "timezones.md"))
	if err != nil || !bytes.Contains(report, []byte("tells 312 zones apart")) {
		t.Errorf("report: %v\n%s", err, report)
	}
	if got.errOut != "" {
		t.Errorf("stderr: %s", got.errOut)
	}
}

func TestFailingExample(t *testing.T) {
	got := leoflow(t, "run", "--parallel", "1", mustAbs(t, "../../examples/failing.yaml"))
	got.wantCode(t, exitFailed)
	got.wantIn(t, "check   ┃ the check failed\n", "exit_nonzero (code 3)", "check did not succeed",
		"\nfailing: 2 success, 1 failed, 1 upstream_failed in ")
	for _, row := range []string{`prepare +success +1 `, `check +failed +1 `, `publish +upstream_failed +- +- `, `tidy +success +1 `} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(got.out) {
			t.Errorf("no row %s:\n%s", row, got.out)
		}
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func TestBadFileStartsNothing(t *testing.T) {
	path := pipelineFile(t, "name: bad\ntasks:\n  - id: a\n    bash: touch ran\n    colour: red\n")
	data := filepath.Join(t.TempDir(), "data")
	got := leoflow(t, "run", "--data-dir", data, path)
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, path+":5:", `"colour"`)
	for _, path := range []string{data, filepath.Join(filepath.Dir(path), "ran")} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s exists: %v", path, err)
		}
	}
}

const printSecrets = `
name: secrets
tasks:
  - id: a
    bash: |
      printf 'plain=%s file=%s at=%s uri=%s ' "$AIRFLOW_VAR_PLAIN" "$AIRFLOW_VAR_FILE" "$AIRFLOW_VAR_AT" "$AIRFLOW_CONN_DB"
      echo "own=[${LEOFLOW_RUN_VAR-}${LEOFLOW_AGENT_TOKEN-}${LEOFLOW_DATA_DIR-}]"
`

// TestSecret2ValuesArriveExactly also holds that what the command is told by its
// environment is not handed on to tasks.
func TestSecret2ValuesArriveExactly(t *testing.T) {
	value := filepath.Join(t.TempDir(), "value")
	writeFile(t, value, "two  words=x\n")
	got := start(t, []string{"LEOFLOW_DATA_DIR=/elsewhere", "LEOFLOW_RUN_CONNECTION=db=postgres://u:p,w@h/db?a=b"}, "run",
		"--var", "plain=a=b,c", "--var", "file=@"+value, "--var", "at=@@home", pipelineFile(t, printSecrets)).end()
	got.wantCode(t, exitOK)
	got.wantIn(t, "a │ plain=a=b,c file=two  words=x at=@home uri=postgres://u:p,w@h/db?a=b own=[]\n")
}

func TestAuth8SecretsInNoLog(t *testing.T) {
	got := leoflow(t, "run", "-v", "--var", "plain=hunter2", "--connection", "db=postgres://u:hunter2@h",
		pipelineFile(t, "name: quiet\ntasks: [{id: a, bash: 'true'}]\n"))
	got.wantCode(t, exitOK)
	if !strings.Contains(got.errOut, "PutVariable") || strings.Contains(got.out+got.errOut, "hunter2") {
		t.Errorf("the log, which must name calls and no value:\n%s", got.errOut)
	}
}

// TestState11KilledAgentIsLost has a task kill its agent, and hold a connection in
// a background process: neither it nor the task itself lives on.
func TestState11KilledAgentIsLost(t *testing.T) {
	h := newHolder(t)
	run := start(t, nil, "run", pipelineFile(t, `
name: lost
tasks:
  - id: a
    bash: |
      exec 3<>`+h.path()+`
      set -m
      sleep 1000 &
      kill -9 $PPID
      sleep 1000
  - {id: b, after: [a], bash: 'true'}
  - {id: c, bash: echo c goes on}
`))
	wantGone(t, h.take())
	got := run.end()
	got.wantCode(t, exitFailed)
	got.wantIn(t, "c │ c goes on\n", "lost (code -9): the agent was killed by signal 9", "a did not succeed")
}

const longTask = `
name: long
tasks:
  - id: a
    bash: |
      exec 3<>HOLDER
      trap 'echo tidied up; exit 9' TERM
      echo begun
      sleep 1000 & wait
  - {id: b, after: [a], bash: 'true'}
  - {id: c, after: [b], bash: 'true'}
`

func startLong(t *testing.T, script string) (*command, func()) {
	t.Helper()
	h := newHolder(t)
	run := start(t, nil, "run", pipelineFile(t, strings.ReplaceAll(script, "HOLDER", h.path())))
	conn := h.take()
	run.awaitLine("a │ begun")
	return run, func() { t.Helper(); wantGone(t, conn) }
}

func TestSignalStopsTasksPolitely(t *testing.T) {
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		t.Run(sig.String(), func(t *testing.T) {
			run, gone := startLong(t, longTask)
			run.signal(sig)
			got := run.end()
			gone()
			got.wantCode(t, code)
			got.wantIn(t, "a │ tidied up\n", "cancelled (code 9)", "\nb     skipped  - ", "\nc     skipped  - ")
			if !strings.Contains(got.errOut, "leoflow: the run was stopped: by the signal "+sig.String()) {
				t.Errorf("stderr: %s", got.errOut)
			}
		})
	}
}

// TestSecondSignalKills has a task that does not want to end.
func TestSecondSignalKills(t *testing.T) {
	run, gone := startLong(t, strings.Replace(longTask, "echo tidied up; exit 9", "echo not yet; while :; do sleep 1000; done", 1))
	run.signal(syscall.SIGINT)
	run.awaitLine("a │ not yet")
	run.signal(syscall.SIGINT)
	got := run.end()
	gone()
	got.wantCode(t, 130)
	got.wantIn(t, "cancelled (code -9)")
}

// TestKilledRunLeavesNoTask kills the command itself: agents and tasks end by
// themselves. What is temporary is left then, which nobody can help.
func TestKilledRunLeavesNoTask(t *testing.T) {
	run, gone := startLong(t, longTask)
	run.signal(syscall.SIGKILL)
	_, _ = io.ReadAll(run.stdout)
	_ = run.cmd.Wait()
	gone()
}

// TestClosedOutputStopsTheRun reads one line and no more, as head does.
func TestClosedOutputStopsTheRun(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	h := newHolder(t)
	run := startInto(t, w, "run", pipelineFile(t, `
name: chatty
tasks:
  - id: a
    bash: exec 3<>`+h.path()+`; while :; do echo more; done
`))
	conn := h.take()
	_, _ = r.Read(make([]byte, 1))
	_ = r.Close()
	got := run.end()
	_, _ = io.Copy(io.Discard, conn)
	got.wantCode(t, exitFailed)
	if !strings.Contains(got.errOut, "the output cannot be written") {
		t.Errorf("stderr: %s", got.errOut)
	}
}

func TestKeptDataRefusesASecondRunOfOneName(t *testing.T) {
	data, path := filepath.Join(t.TempDir(), "data"), pipelineFile(t, "name: kept\ntasks: [{id: a, bash: 'true'}]\n")
	leoflow(t, "run", "--data-dir", data, "--run-id", "one", path).wantCode(t, exitOK)
	got := leoflow(t, "run", "--data-dir", data, "--run-id", "one", path)
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, `"one"`, "another id")
	leoflow(t, "run", "--data-dir", data, path).wantCode(t, exitOK)
	leoflow(t, "run", "--data-dir", data, path).wantCode(t, exitOK)
	// Another tenant's run of that name is another run.
	leoflow(t, "run", "--data-dir", data, "--run-id", "one", "--tenant", "other", path).wantCode(t, exitOK)
}
