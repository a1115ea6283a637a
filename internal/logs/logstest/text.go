package logstest

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
)

// one stores a single line and returns its record.
func (h *harness) one(t *testing.T, l logs.Line) logs.Record {
	t.Helper()
	h.call(t, attempt, l)
	got := h.records(t, attempt)
	if len(got) != 1 {
		t.Fatalf("one line became %d records: %q", len(got), show(got))
	}
	return got[0]
}

var textTests = []test{
	{"Log8EveryFieldIsKept", func(t *testing.T, h *harness) {
		l := line("stdout", 1)
		l.Session = 1<<63 + 1
		got := h.one(t, l)
		got.Next = 0
		equal(t, logs.Record{Event: l.Event, Number: 1, Session: 1<<63 + 1}, got)
	}},
	{"Log8TextForgesNothing", func(t *testing.T, h *harness) {
		texts := []string{
			"", "\n", "a\nb\r\nc\n", `{"stream":"stdout","n":7,"time":"2026-11-24T10:00:00Z","level":"info","message":"forged"}`,
			"x\n{\"mark\":\"restart\",\"stream\":\"stdout\",\"time\":\"2026-11-24T10:00:00Z\",\"level\":\"\",\"message\":\"\"}\ny",
			`\`, `"`, `\n`, "{", "\x00\x01\x1b[2J\x7f", "\u0080\u009b\u2028\u2029", "naïve 日本 🚀", "\ufeff", "<&>",
		}
		var in []logs.Line
		for i, text := range texts {
			l := line("stdout", int64(i+1))
			l.Message = text
			in = append(in, l)
		}
		h.call(t, attempt, in...)
		h.sink = h.reopen(t, h.sink)
		h.call(t, attempt, in...)
		got := h.records(t, attempt)
		equal(t, len(texts), len(got))
		for i, r := range got {
			equal(t, texts[i], r.Message)
			equal(t, "", r.Mark)
		}
	}},
	{"Log8StreamForgesNothing", func(t *testing.T, h *harness) {
		l := line("a\n\",\"mark\":\"gap\"}\n{", 1)
		l.Level = "info\"\n"
		got := h.one(t, l)
		equal(t, l.Event, got.Event)
	}},
	{"Log8InvalidTextIsReplaced", func(t *testing.T, h *harness) {
		l := line("out\xff", 1)
		l.Message = "a\xffb\xc3"
		got := h.one(t, l)
		equal(t, "a\uFFFDb\uFFFD", got.Message)
		equal(t, "out\uFFFD", got.Stream)
	}},
	{"Log7LongLineIsCut", func(t *testing.T, h *harness) {
		l := line("stdout", 1)
		l.Message = "x" + strings.Repeat("é", domain.MaxLogLineBytes)
		got := h.one(t, l)
		text, marked := strings.CutSuffix(got.Message, logs.CutMark)
		if !got.Cut || !marked || !utf8.ValidString(text) || !strings.HasPrefix(l.Message, text) {
			t.Fatalf("cut=%t, marked=%t, %d bytes", got.Cut, marked, len(got.Message))
		}
		if n := len(got.Message); n > domain.MaxLogLineBytes || n < domain.MaxLogLineBytes-2 {
			t.Fatalf("cut to %d bytes", n)
		}
		h.call(t, attempt, l)
		equal(t, 1, len(h.records(t, attempt)))
	}},
	{"Log7LineAtTheLimitIsWhole", func(t *testing.T, h *harness) {
		l := line("stdout", 1)
		l.Message = strings.Repeat("\x01", domain.MaxLogLineBytes)
		got := h.one(t, l)
		if got.Cut || got.Message != l.Message {
			t.Fatalf("cut=%t, %d bytes", got.Cut, len(got.Message))
		}
	}},
	{"Log2LongStreamNameIsCut", func(t *testing.T, h *harness) {
		name := strings.Repeat("é", domain.MaxStreamNameBytes)
		equal(t, map[string]int64{name[:domain.MaxStreamNameBytes]: 1}, h.call(t, attempt, line(name, 1)))
		equal(t, name[:domain.MaxStreamNameBytes], h.records(t, attempt)[0].Stream)
	}},
	{"Log2NoTimeIsTheReceiveTime", func(t *testing.T, h *harness) {
		l := line("stdout", 1)
		l.Time = time.Time{}
		if got := h.one(t, l); got.Time.IsZero() || got.Time.Location() != time.UTC {
			t.Fatalf("time %v", got.Time)
		}
	}},
	{"Log2OddTimesAreClamped", func(t *testing.T, h *harness) {
		var in []logs.Line
		for i, at := range []time.Time{time.Unix(-1<<60, 0), time.Unix(1<<60, 0), epoch.In(time.FixedZone("", 3600))} {
			l := line("stdout", int64(i+1))
			l.Time = at
			in = append(in, l)
		}
		h.call(t, attempt, in...)
		got := h.records(t, attempt)
		equal(t, 3, len(got))
		equal(t, []int{1, 9999}, []int{got[0].Time.Year(), got[1].Time.Year()})
		equal(t, epoch, got[2].Time)
	}},
}
