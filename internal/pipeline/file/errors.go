package file

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Error is the one thing to mend first in a pipeline file.
type Error struct {
	Name         string // of the file, as it was given
	Line, Column int    // both from 1; both 0 when the file could not be read
	Problem      string // what is wrong, naming the field
	Remedy       string // what to do about it
}

// Error is one line without control characters, whatever the file holds, such as
//
//	pipeline.yaml:12:5: task "report": unknown key "scirpt"; did you mean "bash"?
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Name)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": " + e.Problem)
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return oneLine(b.String())
}

// oneLine escapes what could break the line or steer a terminal.
func oneLine(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// maxQuoted is how many characters of a text of the file an error repeats.
const maxQuoted = 60

// quote returns s in double quotes, escaped, and cut where it is long.
func quote(s string) string {
	if runes := []rune(s[:min(len(s), 4*maxQuoted+4)]); len(runes) > maxQuoted {
		return strconv.Quote(string(runes[:maxQuoted])) + "…"
	}
	return strconv.Quote(s)
}

// fault is one thing that is wrong somewhere in the file.
type fault struct {
	line, column int
	rank         int    // of two at one place, the lower is told
	key          string // of two of one rank, the lower is told
	// say makes the text; only the fault that is told pays for it.
	say func() (problem, remedy string)
}

// faults gathers what is wrong, so that the first in the file is the one told.
type faults []fault

// at adds a fault at a node.
func (f *faults) at(n *yaml.Node, say func() (problem, remedy string)) {
	*f = append(*f, fault{line: n.Line, column: n.Column, say: say})
}

// first returns the fault that comes first in the file; nil when there is none.
func (f faults) first() *Error {
	if len(f) == 0 {
		return nil
	}
	// MinFunc keeps the earliest added of equals.
	least := slices.MinFunc(f, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column),
			cmp.Compare(a.rank, b.rank), cmp.Compare(a.key, b.key))
	})
	problem, remedy := least.say()
	return &Error{Line: max(least.line, 1), Column: max(least.column, 1), Problem: problem, Remedy: remedy}
}
