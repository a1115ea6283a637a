package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestRunAsJSON holds that nothing but events is written, the first and the last of
// them those of the run.
func TestRunAsJSON(t *testing.T) {
	got := leoflow(t, "run", "--json", "--run-id", "r", pipelineFile(t, `
name: events
tasks:
  - {id: a, bash: 'printf "one \033[2J\n"; echo two >&2'}
  - {id: b, after: [a], bash: exit 3}
`))
	got.wantCode(t, exitFailed)
	var kinds []string
	var lines []map[string]any
	for line := range strings.Lines(got.out) {
		event := parse(t, strings.TrimSuffix(line, "\n"))
		kinds, lines = append(kinds, event["event"].(string)), append(lines, event)
	}
	if kinds[0] != "run_started" || lines[0]["run_id"] != "r" || kinds[len(kinds)-1] != "run_ended" || lines[len(lines)-1]["succeeded"] != false {
		t.Errorf("events %v\n%s", kinds, got.out)
	}
	want := map[string]int{
		`a queued`: 1, `a running`: 1, `a success`: 1, `b queued`: 1, `b running`: 1, `b failed`: 1,
		`a LOG_LEVEL_INFO one ` + "\x1b" + `[2J`: 1, `a LOG_LEVEL_ERROR two`: 1,
	}
	for _, e := range lines {
		switch e["event"] {
		case "task":
			want[e["task_id"].(string)+" "+strings.ToLower(strings.TrimPrefix(e["state"].(string), "TASK_STATE_"))]--
		case "log":
			if e["stream"] == "agent" {
				continue
			}
			want[e["task_id"].(string)+" "+e["level"].(string)+" "+e["message"].(string)]--
		}
	}
	for event, missing := range want {
		if missing != 0 {
			t.Errorf("%q: %d are missing:\n%s", event, missing, got.out)
		}
	}
	last, _ := json.Marshal(lines[len(lines)-1]["tasks"])
	if !strings.Contains(string(last), `"cause":"CAUSE_EXIT_NONZERO"`) || got.errOut != "" {
		t.Errorf("%s\n%s", last, got.errOut)
	}
}
