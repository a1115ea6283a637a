package file

import (
	"errors"
	"strings"
	"testing"
	"unicode"
)

func TestInvalidFilesAreToldInOneLine(t *testing.T) {
	for _, c := range invalids {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse("p.yaml", []byte(c.text))
			var e *Error
			if !errors.As(err, &e) || p != nil {
				t.Fatalf("Parse = %v, %v; want no pipeline and an *Error", p, err)
			}
			if err.Error() != c.want {
				t.Errorf("error\n got %s\nwant %s", err, c.want)
			}
			if lines := strings.Count(c.text, "\n") + 1; e.Line < 1 || e.Line > lines || e.Column < 1 {
				t.Errorf("place %d:%d is not in the file, which has %d lines", e.Line, e.Column, lines)
			}
			if e.Problem == "" || e.Remedy == "" {
				t.Errorf("problem %q, remedy %q: want both", e.Problem, e.Remedy)
			}
		})
	}
}

func TestTheSameFaultIsToldEachTime(t *testing.T) {
	// Many faults at once, found by different checks, in maps and lists.
	text := "name: [p]\nversion: {}\nx: 1\ny: 2\ntasks:\n" +
		"  - {id: a, sh: x, scirpt: y, env: {'': 1, 'A=': 2, B: []}, after: [z, z]}\n" +
		"  - {id: a, bash: '', timeout: 1, returns: {type: foo, minimum: x}}\n"
	_, first := Parse("p.yaml", []byte(text))
	for range 50 {
		if _, err := Parse("p.yaml", []byte(text)); err.Error() != first.Error() {
			t.Fatalf("told %q, then %q", first, err)
		}
	}
}

func TestFaultsMendedOneByOneComeInFileOrder(t *testing.T) {
	lines := []struct{ bad, good string }{
		{"name: [p]", "name: p"},
		{"version: {}", "version: 1"},
		{"env: {A: }", "env: {A: 1}"},
		{"tasks: # list", "tasks:"},
		{"  - {id: a, bash: '', after: []}", "  - {id: a, bash: x, after: []}"},
		{"  - {id: a, bash: x}", "  - {id: b, bash: x}"},
		{"  - {id: c, bash: x, after: [d]}", "  - {id: c, bash: x, after: [b]}"},
		{"  - {id: e, bash: x, inputs: {p: zz}}", "  - {id: e, bash: x, inputs: {p: a}}"},
		{"  - {id: f, bash: x, timeout: soon}", "  - {id: f, bash: x, timeout: 1m}"},
		{"  - {id: d, bash: x, returns: {type: foo}, after: [c]}", "  - {id: d, bash: x, returns: {type: string}}"},
		{"  - {id: g, scirpt: x}", "  - {id: g, bash: x}"},
	}
	for mended := 0; mended <= len(lines); mended++ {
		var text strings.Builder
		for i, l := range lines {
			if i < mended {
				text.WriteString(l.good + "\n")
			} else {
				text.WriteString(l.bad + "\n")
			}
		}
		_, err := Parse("p.yaml", []byte(text.String()))
		if mended == len(lines) {
			if err != nil {
				t.Fatalf("all mended: %v", err)
			}
			continue
		}
		want := mended + 1
		if lines[mended].bad == "tasks: # list" {
			want++ // nothing is wrong with that line
		}
		var e *Error
		if !errors.As(err, &e) || e.Line != want {
			t.Errorf("the first %d lines mended: %v; want a fault at line %d", mended, err, want)
		}
	}
}

func TestErrorsAreOneLineWhateverTheNameIs(t *testing.T) {
	_, err := Parse("a\nb\x1b[2J.yaml", []byte("name: p\n"))
	if s := err.Error(); strings.ContainsFunc(s, unicode.IsControl) {
		t.Errorf("%q holds a control character", s)
	}
}

func TestSuggestionsAreNearAndFree(t *testing.T) {
	for _, c := range []struct{ word, want string }{
		{"extarct", "extract"}, // two letters swapped
		{"Extract", "extract"},
		{"extract2", "extract"},
		{"load", ""},
		{"", ""},
		{strings.Repeat("x", 2000), ""},
	} {
		if got, _ := suggest(c.word, []string{"transform", "extract"}, nil); got != c.want {
			t.Errorf("suggest(%.20q) = %q, want %q", c.word, got, c.want)
		}
	}
}
