package pipeline

import (
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// What a cell of the timeline shows.
const (
	cellNothing   = ' '
	cellStarts    = '░'
	cellSucceeded = '█'
	cellFailed    = '▒'
	cellWaits     = '·'
)

const timelineLegend = "░ agent starts  █ succeeded  ▒ did not succeed  · waits for its next try"

const (
	minTimeline = 20 // cells of a row
	maxName     = 40 // cells of a task's id
)

// timeline draws when the tries of each task began and ended, a row a task, as wide as
// the terminal is. paint is given each row that is not only blank, and its task's place.
func timeline(r Result, width int, paint func(task int, row string) string) string {
	from, to := extent(r)
	if from.IsZero() {
		return ""
	}
	names := make([]string, len(r.Tasks))
	widest := terminal.Cells("TIMELINE")
	for i, t := range r.Tasks {
		names[i] = terminal.Shorten(terminal.Visible(strings.ReplaceAll(t.ID, "\t", " ")), maxName)
		widest = max(widest, terminal.Cells(names[i]))
	}
	ruler := ruler{from: from, length: to.Sub(from), cells: max(minTimeline, width-widest-2)}
	var b strings.Builder
	b.WriteString(terminal.Pad("TIMELINE", widest) + "  " + ruler.scale() + "\n")
	for i, t := range r.Tasks {
		row := strings.TrimRight(string(ruler.row(t.tries)), " ")
		if row != "" {
			row = "  " + paint(i, row)
		}
		b.WriteString(strings.TrimRight(terminal.Pad(names[i], widest)+row, " ") + "\n")
	}
	b.WriteString(timelineLegend + "\n")
	return b.String()
}

// extent is from when to when there was an attempt; zero: never.
func extent(r Result) (from, to time.Time) {
	for _, t := range r.Tasks {
		for _, s := range t.tries {
			if from.IsZero() || s.queued.Before(from) {
				from = s.queued
			}
			for _, at := range []time.Time{s.queued, s.started, s.ended} {
				if at.After(to) {
					to = at
				}
			}
		}
	}
	return from, to
}

// ruler maps times to cells.
type ruler struct {
	from   time.Time
	length time.Duration
	cells  int
}

// scale is the time at both ends.
func (r ruler) scale() string {
	end := briefly(r.length)
	return "0s" + strings.Repeat(" ", max(1, r.cells-len("0s")-len(end))) + end
}

// at is the cell that a time is in.
func (r ruler) at(t time.Time) int {
	if r.length <= 0 {
		return 0
	}
	return min(r.cells-1, int(float64(r.cells)*t.Sub(r.from).Seconds()/r.length.Seconds()))
}

// row draws tries, each in a cell of its own at least, while there is room.
func (r ruler) row(tries []span) []rune {
	row := []rune(strings.Repeat(string(cellNothing), r.cells))
	next := 0
	fill := func(to int, cell rune) {
		for ; next < min(to, r.cells); next++ {
			row[next] = cell
		}
	}
	for i, s := range tries {
		began, ended := s.started, s.ended
		if ended.IsZero() {
			ended = r.from.Add(r.length)
		}
		if began.IsZero() {
			began = ended
		}
		if i == 0 {
			fill(r.at(s.queued), cellNothing)
		}
		fill(r.at(s.queued), cellWaits)
		fill(r.at(began), cellStarts)
		cell := cellFailed
		if s.state == domain.TaskStateSuccess {
			cell = cellSucceeded
		}
		end := r.at(ended)
		if !ended.Before(r.from.Add(r.length)) {
			end = r.cells
		}
		fill(max(end, next+1), cell)
	}
	return row
}
