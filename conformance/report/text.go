package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// legal is a text with bytes that are no UTF-8 written as escapes, such as \xff: protobuf
// knows none.
func legal(s string) string {
	return spelt(s, func(rune) bool { return true })
}

// Visible is a text as one line in which everything can be seen: what steers a terminal,
// changes the direction of text, or has no width is written as an escape, such as \x1b or
// \u202e (LOG-8).
func Visible(s string) string {
	return spelt(s, func(r rune) bool { return r == '\t' || strconv.IsPrint(r) })
}

// lines are the lines of a text, each of them visible.
func lines(s string) []string {
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		out = append(out, Visible(line))
	}
	return out
}

// spelt keeps the characters that may be kept, and spells out the others.
func spelt(s string, keep func(rune) bool) string {
	var out strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&out, `\x%02x`, s[0])
		case keep(r):
			out.WriteString(s[:n])
		default:
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		s = s[n:]
	}
	return out.String()
}

// short cuts a text at a character's boundary, so that it has at most so many characters.
func short(s string, characters int) string {
	n := 0
	for at := range s {
		if n++; n == characters {
			if _, size := utf8.DecodeRuneInString(s[at:]); at+size < len(s) {
				return s[:at] + "…"
			}
		}
	}
	return s
}

// count is a number of things: "1 rule", "2 rules".
func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// method is an RPC's name as people say it.
func method(rpc string) string { return catalogue.RPC(rpc).Method() }

// evidenceLine is a step in a line.
func evidenceLine(e *conformancev1.Evidence) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%9s", e.GetAt().AsDuration().Round(time.Millisecond))
	for _, part := range [][2]string{
		{"", method(e.GetRpc())},
		{"", e.GetWhat()},
		{"sent ", e.GetSent()},
		{"received ", e.GetReceived()},
		{"", e.GetCode()},
		{"", e.GetError()},
	} {
		if part[1] != "" {
			out.WriteString("  " + part[0] + Visible(part[1]))
		}
	}
	return out.String()
}
