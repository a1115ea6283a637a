package main

import (
	"encoding/json"
	"path/filepath"
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

// TestRunWithAnAgentOfAnotherMake has an agent that only says that it was launched,
// and one that is not there.
func TestRunWithAnAgentOfAnotherMake(t *testing.T) {
	path := pipelineFile(t, "name: other\ntasks:\n  - {id: a, bash: 'true'}\n")
	writeFile(t, filepath.Join(filepath.Dir(path), "agent.sh"), `echo "for $LEOFLOW_CONTROL_PLANE_ADDR in $1"; exit 7`)
	got := leoflow(t, "run", "--agent", "bash agent.sh {temp}", path)
	got.wantCode(t, exitFailed)
	got.wantIn(t, "a ┊ agent: for 127.0.0.1:", "/attempt-", "lost (code 7): the agent ended with code 7")
	got = leoflow(t, "run", "--agent", "./no-such-agent", path)
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, "--agent: ", "no-such-agent", "name a program that is there")
}
