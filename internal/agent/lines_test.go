package agent

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/internal/domain"
)

func split(in []byte) []string {
	var out []string
	splitLines(iotest.HalfReader(bytes.NewReader(in)), func(s string) { out = append(out, s) })
	return out
}

func TestLog1SplitLines(t *testing.T) {
	const k = domain.MaxLogLineBytes
	x := strings.Repeat("x", k)
	euros := strings.Repeat("€", k/2) // 1.5 times the limit, whose end falls into a character
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"nothing":         {"", nil},
		"newline":         {"\n", []string{""}},
		"carriage return": {"a\r\nb", []string{"a\r", "b"}},
		"limit":           {x + "\n", []string{x}},
		"limit at end":    {x, []string{x}},
		"limit twice":     {x + x + "\n\n", []string{x, x, ""}},
		"one over":        {x + "y\nz", []string{x, "y", "z"}},
		"characters":      {euros, []string{euros[:k-1], euros[k-1:]}},
		"cut short":       {"ab\xe2\x82", []string{"ab\uFFFD"}},
	} {
		if got := split([]byte(c.in)); strings.Join(got, "|") != strings.Join(c.want, "|") || len(got) != len(c.want) {
			t.Errorf("%s: %d lines, want %d", name, len(got), len(c.want))
		}
	}
}

func TestLog1SplitLinesLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []byte
		for range rapid.IntRange(0, 6).Draw(t, "parts") {
			part := []byte(rapid.OneOf(rapid.SampledFrom([]string{"\n", "x", "é", "€", "😀", "\xff", "\xe2\x82", "\r\n"}), rapid.String()).Draw(t, "part"))
			in = append(in, bytes.Repeat(part, rapid.SampledFrom([]int{1, 2, 1000, 30_000}).Draw(t, "times"))...)
		}
		got := split(in)
		text := strings.TrimSuffix(string(in), "\n")
		valid := utf8.ValidString(text)
		for _, line := range got {
			if len(line) > domain.MaxLogLineBytes || !utf8.ValidString(line) || strings.Contains(line, "\n") {
				t.Fatalf("a line of %d bytes, valid %v", len(line), utf8.ValidString(line))
			}
		}
		if valid && strings.Join(got, "") != strings.ReplaceAll(text, "\n", "") {
			t.Fatalf("%d bytes came out as something else", len(in))
		}
		if lines := strings.Count(text, "\n") + 1; len(in) > 0 && len(got) < lines {
			t.Fatalf("%d lines became %d", lines, len(got))
		}
	})
}
