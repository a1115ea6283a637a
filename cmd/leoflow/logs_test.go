package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// evil would clear the screen, forge a line, hide text and set a title.
const evil = "a\x1b[2J\r\n╌ forged\u202e\u009b31m\x07"

func TestLog8AReadersTerminalIsNotSteered(t *testing.T) {
	s := servePlain(t)
	s.createRun("r", task("t"))
	a := s.launch("r", "t", 1)
	a.log("stdout", 1, evil)
	a.log("stderr", 1, "late")
	a.log("agent", 1, "stopping")
	a.log("my\x1bown", 0, "x")
	a.log("stdout", 4, "after a hole")
	a.endLog()
	got := s.leoflow("logs", "etl", "r", "t")
	got.wantCode(t, exitOK)
	want := strings.Join([]string{
		`│ a\x1b[2J\r\n╌ forged\u202e\u009b31m\x07`,
		"┃ late",
		"┊ agent: stopping",
		`│ [my\x1bown] x`,
		"│ after a hole",
		"╌ lines 2 to 3 of stdout are missing",
	}, "\n") + "\n"
	if diff := cmp.Diff(sortedLines(want), sortedLines(got.out)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	got = s.leoflow("logs", "etl", "r", "t", "--try", "1", "-o", "json")
	got.wantCode(t, exitOK)
	lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
	if first := parse(t, lines[0]); first["message"] != evil || first["stream"] != "stdout" || first["mark"] != "LOG_MARK_UNSPECIFIED" {
		t.Errorf("the first line is %v", first)
	}
	marks := 0
	for _, line := range lines {
		if parse(t, line)["mark"] == "LOG_MARK_GAP" {
			marks++
		}
	}
	if len(lines) != 6 || marks != 1 {
		t.Errorf("%d lines, %d gaps:\n%s", len(lines), marks, got.out)
	}
}

// sortedLines leaves the order of different streams open.
func sortedLines(text string) map[string]int {
	out := map[string]int{}
	for line := range strings.SplitSeq(text, "\n") {
		out[line]++
	}
	return out
}

func TestLog11FollowingEndsWithTheAttempt(t *testing.T) {
	s := servePlain(t)
	s.createRun("r", task("t"))
	a := s.launch("r", "t", 1)
	a.log("stdout", 1, "one")
	follow := s.start("logs", "-f", "etl", "r", "t")
	follow.awaitLine("│ one")
	a.log("stdout", 2, "two")
	follow.awaitLine("│ two")
	a.succeed()
	a.log("stdout", 3, "three")
	a.endLog()
	got := follow.end()
	got.wantCode(t, exitOK)
	if got.out != "│ one\n│ two\n│ three\n" || got.errOut != "" {
		t.Errorf("followed:\n%s%s", got.out, got.errOut)
	}
}

func TestFollowingEndsOnASignal(t *testing.T) {
	s := servePlain(t)
	s.createRun("r", task("t"))
	a := s.launch("r", "t", 1)
	a.log("stdout", 1, "one")
	follow := s.start("logs", "-f", "etl", "r", "t")
	follow.awaitLine("│ one")
	follow.signal(syscall.SIGINT)
	got := follow.end()
	got.wantCode(t, 128+int(syscall.SIGINT))
	if got.errOut != "" {
		t.Errorf("stderr: %s", got.errOut)
	}
}
