package terminal

import (
	"fmt"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// Bar stands before a line of a log, and says where that is from: what a task prints
// then looks like no remark (LOG-8).
type Bar string

// The bars.
const (
	BarStdout Bar = "│"
	BarStderr Bar = "┃"
	BarAgent  Bar = "┊" // the agent, not the task
	BarMark   Bar = "╌" // nobody printed it: something about the log
)

// Line is a record of a log as it is shown.
type Line struct {
	Bar  Bar
	Text string
	// Warning is what the reader must know of the line: that it is cut, or, with no
	// text, that lines are missing.
	Warning string
}

// LineOf is a record as it is shown.
func LineOf(r *controlv1.LogRecord) Line {
	stream := Visible(r.GetStream())
	switch r.GetMark() {
	case controlv1.LogMark_LOG_MARK_UNSPECIFIED:
	case controlv1.LogMark_LOG_MARK_RESTART:
		return Line{Bar: BarMark, Text: stream + " begins again: the agent was restarted"}
	case controlv1.LogMark_LOG_MARK_GAP:
		return Line{Bar: BarMark, Warning: gap(r, stream)}
	default:
		return Line{Bar: BarMark, Text: "a mark that this version does not know"}
	}
	line := Line{Bar: BarStdout, Text: Visible(r.GetMessage())}
	if r.GetCut() {
		line.Warning = "(cut: the line was too long)"
	}
	switch stream {
	case "stdout", "":
	case "stderr":
		line.Bar = BarStderr
	case "agent":
		line.Bar, line.Text = BarAgent, "agent: "+line.Text
	default:
		line.Text = "[" + stream + "] " + line.Text
	}
	return line
}

// String is the line without colours.
func (l Line) String() string {
	out := string(l.Bar)
	for _, part := range []string{l.Text, l.Warning} {
		if part != "" {
			out += " " + part
		}
	}
	return out
}

func gap(r *controlv1.LogRecord, stream string) string {
	if r.GetGapThrough() <= r.GetLineNumber() {
		return fmt.Sprintf("line %d of %s is missing", r.GetLineNumber(), stream)
	}
	return fmt.Sprintf("lines %d to %d of %s are missing", r.GetLineNumber(), r.GetGapThrough(), stream)
}
