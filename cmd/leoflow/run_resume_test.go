package main

import (
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// halfway is a pipeline whose second task holds on in its first try, and goes well in
// its next. Each task notes in a file that it ran.
const halfway = `
name: halfway
defaults: {retries: 1, retry_delay: 0s}
tasks:
  - {id: a, bash: 'echo a >>ran; echo 1 >"$LEOFLOW_RETURN_VALUE_PATH"'}
  - id: b
    inputs: {one: a}
    bash: |
      echo b >>ran
      if [ ! -e tried ]; then
        touch tried
        exec 3<>HOLDER
        echo begun
        sleep 1000
      fi
      echo $((LEOFLOW_XCOM_ONE + 1)) >"$LEOFLOW_RETURN_VALUE_PATH"
  - {id: c, inputs: {two: b}, bash: 'echo c >>ran; echo "two is $LEOFLOW_XCOM_TWO"'}
`

// killHalfway starts the run and kills its command while the second task runs; it
// returns once nothing of that task lives any more.
func killHalfway(t *testing.T, path string, env []string, args ...string) {
	t.Helper()
	h := newHolder(t)
	text := readText(t, filepath.Dir(path), filepath.Base(path))
	writeFile(t, path, strings.ReplaceAll(text, "HOLDER", h.path()))
	run := start(t, env, append(append([]string{"run", "--run-id", "r"}, args...), path)...)
	conn := h.take()
	run.awaitLine("b │ begun")
	run.signal(syscall.SIGKILL)
	_, _ = io.ReadAll(run.stdout)
	_ = run.cmd.Wait()
	wantGone(t, conn)
}

func wantHalfwayDone(t *testing.T, got outcome, path string) {
	t.Helper()
	got.wantCode(t, exitOK)
	got.wantIn(t, "c │ two is 2\n", "\na     success  1 ", "\nb     success  2 ", "\nc     success  1 ")
	if ran := readText(t, filepath.Dir(path), "ran"); ran != "a\nb\nb\nc\n" {
		t.Errorf("ran: %q", ran)
	}
}

func TestResumeOnAServer(t *testing.T) {
	s := servePlain(t)
	path := pipelineFile(t, halfway)
	killHalfway(t, path, s.env, "--server", s.addr)
	wantHalfwayDone(t, s.leoflow("run", "--server", s.addr, "--resume", "r", path), path)
	// Once more: everything has its outcome.
	got := s.leoflow("run", "--server", s.addr, "--resume", "r", path)
	got.wantCode(t, exitOK)
	got.wantIn(t, "\nb     success  2 ")
}

// TestResumeOfKeptData has the control plane die with the run, and the attempt under
// way be lost thereby.
func TestResumeOfKeptData(t *testing.T) {
	data, path := filepath.Join(t.TempDir(), "data"), pipelineFile(t, halfway)
	killHalfway(t, path, nil, "--data-dir", data)
	wantHalfwayDone(t, leoflow(t, "run", "--data-dir", data, "--resume", "r", path), path)
}

func TestResumeRefusesWhatItCannotGoOnWith(t *testing.T) {
	data, path := filepath.Join(t.TempDir(), "data"), pipelineFile(t, "name: kept\ntasks: [{id: a, bash: 'true'}]\n")
	leoflow(t, "run", "--data-dir", data, "--run-id", "r", path).wantCode(t, exitOK)
	other := filepath.Join(t.TempDir(), "other.yaml")
	writeFile(t, other, "name: kept\ntasks: [{id: a, bash: 'false'}]\n")
	for _, c := range []struct {
		args  []string
		piece string
	}{
		{[]string{"--data-dir", data, "--resume", "r", other}, "was created from something else than what the file says now; resume it with the file as it was"},
		{[]string{"--data-dir", data, "--resume", "s", path}, `pipeline "kept" has no run "s" to resume; give the id`},
		{[]string{"--data-dir", data, "--resume", "r", "--run-id", "r", path}, "leave --run-id out"},
		{[]string{"--resume", "r", path}, "say where, by --server or --data-dir"},
	} {
		got := leoflow(t, append([]string{"run"}, c.args...)...)
		got.wantCode(t, exitBadInput)
		got.wantOneLine(t, c.piece)
	}
}

// TestRetryOfARunningTaskIsTakenUp has a person ask for another try of a task while
// the run is driven: its agent ends, and the next try begins.
func TestRetryOfARunningTaskIsTakenUp(t *testing.T) {
	s := servePlain(t)
	h := newHolder(t)
	path := pipelineFile(t, strings.NewReplacer("HOLDER", h.path(), "retries: 1", "retries: 0").Replace(halfway))
	run := s.start("run", "--server", s.addr, "--run-id", "r", path)
	conn := h.take()
	run.awaitLine("b │ begun")
	s.leoflow("retry", "--force", "halfway", "r", "b").wantCode(t, exitOK)
	wantGone(t, conn)
	wantHalfwayDone(t, run.end(), path)
}
