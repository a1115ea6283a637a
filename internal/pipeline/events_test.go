package pipeline

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// TestEventsGolden holds the events to the letter. Those of a task's log and of its
// state come in any order, so they are sorted.
func TestEventsGolden(t *testing.T) {
	s := newScene(t, "extract:", "flaky: extract", "bad: flaky", "next: bad")
	s.opts.JSON, s.opts.now = true, func() time.Time { return epoch.In(time.FixedZone("", 7200)) }
	s.task("flaky").Retry = file.Retry{Times: 2}
	s.launcher.scripts["extract"] = everyKind
	s.launcher.scripts["flaky"] = failing(1)
	s.launcher.scripts["bad"] = func(*agentSim) Exit { return Exit{Code: 1, Said: []string{"no way"}} }
	s.mustRun()
	lines := strings.Split(strings.TrimSuffix(s.out.String(), "\n"), "\n")
	for _, line := range lines {
		if err := json.NewDecoder(bytes.NewReader([]byte(line))).Decode(&map[string]any{}); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
	}
	slices.SortStableFunc(lines[1:len(lines)-1], func(a, b string) int { return strings.Compare(eventKey(a), eventKey(b)) })
	got := strings.Join(lines, "\n") + "\n"
	if strings.ContainsAny(got, "\x1b\r\a\x00\x7f\u0085\u202e") {
		t.Errorf("control characters in the events: %q", got)
	}
	const path = "testdata/events.golden"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("events:\n%s\nwant:\n%s", got, want)
	}
}

func eventKey(line string) string {
	var event struct {
		Event  string
		TaskID string `json:"task_id"`
	}
	if json.Unmarshal([]byte(line), &event) != nil {
		return line
	}
	return event.TaskID + " " + event.Event
}

func TestEventsSayWhyTheRunWasStopped(t *testing.T) {
	s := newScene(t, "a:")
	s.opts.JSON = true
	var began <-chan struct{}
	s.launcher.scripts["a"], began = begun(untilTold)
	_, _ = s.run(stopOnce(t, began))
	lines := strings.Split(strings.TrimSpace(s.out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"event":"run_ended"`) || !strings.Contains(last, `"succeeded":false,"error":"the run was stopped: by a test"`) {
		t.Errorf("last: %s", last)
	}
}
