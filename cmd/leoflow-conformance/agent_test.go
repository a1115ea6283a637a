package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/conformance/report"
)

func TestAgentThatCannotBeJudgedIsOneLineAndCodeThree(t *testing.T) {
	for name, tc := range map[string]struct {
		command []string
		want    []string // pieces of the line
	}{
		"absent":  {[]string{"/no/such/agent"}, []string{"/no/such/agent", "does not run"}},
		"ends":    {[]string{"sh", "-c", "echo this is why; exit 3"}, []string{"exit status 3", "this is why", "before a call"}},
		"crashes": {[]string{"sh", "-c", "kill -KILL $$"}, []string{"killed"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(append([]string{"agent", "--"}, tc.command...)...)
			if code != exitUnreachable || out != "" {
				t.Errorf("exit code %d, output %q", code, out)
			}
			line, rest, _ := strings.Cut(errOut, "\n")
			if rest != "" {
				t.Errorf("not one line: %q", errOut)
			}
			for _, piece := range tc.want {
				if !strings.Contains(line, piece) {
					t.Errorf("%q lacks %q", line, piece)
				}
			}
		})
	}
}

func TestAgentBadUsage(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no command":   {nil, "<command>"},
		"ability":      {[]string{"--without", "flight", "--", "true"}, `--without is "flight": give renewal or resume`},
		"level":        {[]string{"--level", "may", "--", "true"}, "--level"},
		"scale":        {[]string{"--time-scale", "0", "--", "true"}, "--time-scale"},
		"known":        {[]string{"--known-failing", "/no/such/file", "--", "true"}, "/no/such/file"},
		"unknown form": {[]string{"-o", "xml", "--", "true"}, "--output"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(append([]string{"agent"}, tc.args...)...)
			if code != exitBadUsage || out != "" || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
			}
		})
	}
}

func TestAgentJudgesOurs(t *testing.T) {
	program := filepath.Join(t.TempDir(), "leoflow-agent")
	build := exec.Command("go", "build", "-race=false", "-o", program, "github.com/neochaotic/leoflow/cmd/leoflow-agent")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out := answer(t, "agent", "--rule", "a-run-4", "--rule", "A-LOG-1/lines", "--repeat", "2", "--time-scale", "3", "--", program)
	if !strings.HasPrefix(out, "passed: A-RUN-4, A-LOG-1/lines\n3 checks of 2 rules") || !strings.Contains(out, "3 passed, 0 failed") {
		t.Errorf("told %q", out)
	}
	got, err := report.Read([]byte(answer(t, "agent", "--rule", "A-BEAT-3", "--without", "renewal", "--rule", "A-RUN-2/success", "-o", "json", "--seed", "7", "--time-scale", "3", "--", program)))
	if err != nil {
		t.Fatal(err)
	}
	if n := got.GetChecksByStatus(); got.GetSeed() != 7 || got.GetSystem() != program || n.GetPassed() != 1 || n.GetSkipped() != 2 {
		t.Errorf("results %v", got)
	}
	code, out, errOut := command("agent", "--rule", "A-RUN-4", "--time-scale", "3", "--known-failing", file(t, "a-run-4\twe thought so\n"), "--", program)
	if code != exitFailed || errOut != "" || !strings.Contains(out, "known failing, and passed: A-RUN-4: take it off the list\n") {
		t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
	}
}
