// Package terminal makes what others wrote fit to be shown on a terminal: nothing in
// it steers the terminal, and columns line up (LOG-8).
//
// It may import gen.
package terminal

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

const hexDigits = "0123456789abcdef"

// Visible returns s as one line that steers no terminal and hides nothing in it
// (LOG-8): control characters but the tab, line and paragraph separators, controls
// of direction and bytes that are no UTF-8 are written as escapes such as \x1b.
func Visible(s string) string {
	if strings.IndexFunc(s, unsafe) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			hex(&b, `\x`, rune(s[0]), 2)
		case !unsafe(r):
			b.WriteString(s[:n])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x80:
			hex(&b, `\x`, r, 2)
		default:
			hex(&b, `\u`, r, 4)
		}
		s = s[n:]
	}
	return b.String()
}

func hex(b *strings.Builder, prefix string, r rune, digits int) {
	b.WriteString(prefix)
	for i := digits - 1; i >= 0; i-- {
		b.WriteByte(hexDigits[r>>(4*i)&0xf])
	}
}

// unsafe reports whether a terminal may do something other than show r.
func unsafe(r rune) bool {
	switch {
	case r == '\t':
		return false
	case unicode.IsControl(r), // C0, DEL, C1
		r == 0x061C, r == 0x200E, r == 0x200F, // direction marks
		r >= 0x2028 && r <= 0x202E,              // separators, embeddings and overrides
		r >= 0x2066 && r <= 0x206F,              // isolates, deprecated controls
		r == 0xFEFF, r >= 0xFFF9 && r <= 0xFFFB: // invisible in the midst of text
		return true
	}
	return false
}

// Cells is how wide a terminal shows s.
func Cells(s string) int {
	n := 0
	for _, r := range s {
		n += cellsOf(r)
	}
	return n
}

func cellsOf(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case wide(r):
		return 2
	}
	return 1
}

func wide(r rune) bool {
	k := width.LookupRune(r).Kind()
	return k == width.EastAsianWide || k == width.EastAsianFullwidth
}

// Pad fills s up with spaces to a width in cells.
func Pad(s string, to int) string {
	return s + strings.Repeat(" ", max(0, to-Cells(s)))
}

// Shorten cuts s to at most limit cells, the last of them a mark where it is cut.
func Shorten(s string, limit int) string {
	if Cells(s) <= limit {
		return s
	}
	used := 0
	for i, r := range s {
		if used += cellsOf(r); used > limit-1 {
			return s[:i] + "…"
		}
	}
	return s
}
