package terminal

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

func TestLog8TablesAreAlignedAndHarmless(t *testing.T) {
	got := Table{{"A", "B", "C"}, {"日本", "x\x1b[2J\ty", ""}, {"long enough", "-", "e\u0301"}}.String()
	want := "A            B           C\n" +
		"日本         x\\x1b[2J y\n" +
		"long enough  -           e\u0301\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Shorten("abcdef", 4); got != "abc…" {
		t.Errorf("shortened to %q", got)
	}
}

func TestLog8VisibleSteersNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "in")
		out := Visible(in)
		if !utf8.ValidString(out) || strings.IndexFunc(out, unsafe) >= 0 {
			t.Fatalf("Visible(%q) = %q", in, out)
		}
		if again := Visible(out); again != out {
			t.Fatalf("Visible is not stable: %q, %q", out, again)
		}
	})
	for in, want := range map[string]string{
		"plain, é 世界 👩‍👩‍👧": "plain, é 世界 👩‍👩‍👧",
		"\x1b]0;title\a":    `\x1b]0;title\x07`,
		"a\rb\nc\td":        `a\rb\nc` + "\td",
		"\u009b31m":         `\u009b31m`,
		"\u202e\u2066":      `\u202e\u2066`,
		"bad \xff byte":     `bad \xff byte`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLog8AMarkLooksLikeNoLine(t *testing.T) {
	for want, r := range map[string]*controlv1.LogRecord{
		"│ a":                                  {Stream: "stdout", Message: "a"},
		"│":                                    {Stream: "stdout"},
		"┃ a":                                  {Stream: "stderr", Message: "a"},
		"┊ agent: a":                           {Stream: "agent", Message: "a", Level: agentv1.LogLevel_LOG_LEVEL_INFO},
		`│ [\x1b] a`:                           {Stream: "\x1b", Message: "a"},
		`│ \n╌ line 7 is missing`:              {Stream: "stdout", Message: "\n╌ line 7 is missing"},
		"│ a (cut: the line was too long)":     {Stream: "stdout", Message: "a", Cut: true},
		"╌ line 7 of stdout is missing":        {Stream: "stdout", LineNumber: 7, GapThrough: 7, Mark: controlv1.LogMark_LOG_MARK_GAP},
		"╌ lines 7 to 9 of stdout are missing": {Stream: "stdout", LineNumber: 7, GapThrough: 9, Mark: controlv1.LogMark_LOG_MARK_GAP},
		"╌ s begins again: the agent was restarted": {Stream: "s", Mark: controlv1.LogMark_LOG_MARK_RESTART},
		"╌ a mark that this version does not know":  {Mark: 99},
	} {
		if got := LineOf(r).String(); got != want {
			t.Errorf("%v is shown as %q, want %q", r, got, want)
		}
	}
}
