package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"github.com/neochaotic/leoflow/internal/pipeline"
)

// maxCell is the widest that a cell gets, in cells of a terminal.
const maxCell = 250

// table is rows of cells, the first of them the heads of the columns.
type table [][]string

// String is the table with its columns aligned, each row one line that is fit to be
// shown (LOG-8).
func (t table) String() string {
	var widths []int
	rows := make([][]string, len(t))
	for i, row := range t {
		for j, cell := range row {
			cell = shorten(pipeline.Visible(strings.ReplaceAll(cell, "\t", " ")), maxCell)
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], columns(cell))
			rows[i] = append(rows[i], cell)
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for j, cell := range row {
			line.WriteString(cell + strings.Repeat(" ", widths[j]-columns(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// columns is how wide a terminal shows s.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// shorten cuts s to at most limit columns, the last of them a mark where it is cut.
func shorten(s string, limit int) string {
	if columns(s) <= limit {
		return s
	}
	used := 0
	for i, r := range s {
		if used += columnsOf(r); used > limit-1 {
			return s[:i] + "…"
		}
	}
	return s
}
