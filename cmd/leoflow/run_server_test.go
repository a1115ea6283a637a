package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// countdown is a chain of tasks that print a number of lines, and hand on how many
// they and those before them printed.
const countdown = `
name: chain
tasks:
  - {id: a, bash: &count 'for i in $(seq 60); do echo "line $i"; sleep 0.02; done; echo $((60 + ${LEOFLOW_XCOM_BEFORE:-0})) >"$LEOFLOW_RETURN_VALUE_PATH"'}
  - {id: b, bash: *count, inputs: {before: a}}
  - {id: c, bash: *count, inputs: {before: b}}
`

// TestANet1RunOutlivesAServerThatIsKilled kills the control plane under each task, in
// different places, and starts it again on its data: every line is there once, in
// order, and so is every value.
func TestANet1RunOutlivesAServerThatIsKilled(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	serve, addr, tokenArgs := startServe(t, data)
	env := []string{"LEOFLOW_TOKEN=" + strings.TrimSpace(leoflow(t, tokenArgs...).out), "LEOFLOW_SERVER=" + addr}
	run := start(t, env, "run", "--server", addr, "--run-id", "r", pipelineFile(t, countdown))
	for _, at := range []string{"a │ line 20", "b │ line 1", "c │ line 55"} {
		run.awaitLine(at)
		serve.signal(syscall.SIGKILL)
		serve.end()
		serve, _, _ = startServe(t, data, "--addr", addr)
	}
	got := run.end()
	got.wantCode(t, exitOK)
	got.wantIn(t, "\na     success  1 ", "\nb     success  1 ", "\nc     success  1 ")
	for i, task := range []string{"a", "b", "c"} {
		wantLines(t, start(t, env, "logs", "-o", "json", "chain", "r", task).end().out, 60)
		if n := strings.Count(got.out, "\n"+task+" │ line "); n != 60 {
			t.Errorf("%s: %d lines were shown, want 60", task, n)
		}
		value := start(t, env, "value", "chain", "r", task).end()
		if want := strconv.Itoa(60*(i+1)) + "\n"; value.out != want {
			t.Errorf("%s handed on %q, want %q", task, value.out, want)
		}
	}
	serve.signal(syscall.SIGTERM)
	serve.end().wantCode(t, exitOK)
}

// wantLines holds that a log's lines of stdout are line 1 to line n, each once, in
// order, and that none is missing by its own account.
func wantLines(t *testing.T, log string, n int) {
	t.Helper()
	var lines []string
	for decoder := json.NewDecoder(strings.NewReader(log)); ; {
		var record struct{ Stream, Message, Mark string }
		if decoder.Decode(&record) != nil {
			break
		}
		switch {
		case record.Mark != "LOG_MARK_UNSPECIFIED":
			t.Errorf("a mark %s of %s", record.Mark, record.Stream)
		case record.Stream == "stdout":
			lines = append(lines, record.Message)
		}
	}
	for i := range max(n, len(lines)) {
		if i >= len(lines) || i >= n || lines[i] != fmt.Sprintf("line %d", i+1) {
			t.Fatalf("%d lines stored, want %d; they differ from line %d on: %q", len(lines), n, i+1, lines)
		}
	}
}

// TestRunOnAServerOverTLS has agents trust what the run trusts, and get its secrets.
func TestRunOnAServerOverTLS(t *testing.T) {
	s := serveTLS(t)
	file := pipelineFile(t, "name: p\ntasks:\n  - {id: a, bash: 'echo \"in $AIRFLOW_VAR_REGION\"'}\n")
	got := s.leoflow("run", "--server", s.addr, "--var", "REGION=eu", file)
	got.wantCode(t, exitOK)
	got.wantIn(t, "a │ in eu\n")
	for _, args := range [][]string{
		{"--server", s.addr, "--data-dir", s.data},
		{"--server", "nowhere"},
		{"--server", s.addr, "--token-file", filepath.Join(s.data, "none")},
		{"--server", s.addr, "--token", ""},
	} {
		got := s.leoflow(append(append([]string{"run"}, args...), file)...)
		got.wantCode(t, exitBadInput)
		got.wantOneLine(t)
	}
}
