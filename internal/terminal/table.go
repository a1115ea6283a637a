package terminal

import "strings"

// maxCell is the widest that a cell of a table gets, in cells of a terminal.
const maxCell = 250

// Table is rows of cells, the first of them the heads of the columns.
type Table [][]string

// String is the table with its columns aligned, each row one line.
func (t Table) String() string {
	return t.Paint(func(_, _ int, text string) string { return text })
}

// Paint is [Table.String] with each padded cell, heads included, put through paint,
// which may add to it what takes no room.
func (t Table) Paint(paint func(row, column int, text string) string) string {
	var widths []int
	rows := make([][]string, len(t))
	for i, row := range t {
		for j, cell := range row {
			cell = Shorten(Visible(strings.ReplaceAll(cell, "\t", " ")), maxCell)
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], Cells(cell))
			rows[i] = append(rows[i], cell)
		}
	}
	var b strings.Builder
	for i, row := range rows {
		var line strings.Builder
		for j, cell := range row {
			line.WriteString(paint(i, j, Pad(cell, widths[j])) + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
