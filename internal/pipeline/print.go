package pipeline

import (
	"fmt"
	"io"
	"strings"
	"sync"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// What stands between a task's id and its line, by where the line is from.
const (
	barStdout = "│"
	barStderr = "┃"
	barAgent  = "┊" // the agent, not the task
	barMark   = "╌" // nobody printed it: something about the log
)

// Colours, as SGR parameters.
const (
	colorRed    = "31"
	colorGreen  = "32"
	colorYellow = "33"
	colorDim    = "2"
)

// taskColors tell tasks apart; red stays for what went wrong.
var taskColors = []string{"36", "35", "34", "32", "33", "96", "95", "94"}

// printer writes lines of several tasks, each line whole. It is safe for concurrent
// use.
type printer struct {
	color  bool
	prefix map[string]string // by task id: the padded, coloured id
	broken chan error        // gets the first failure to write

	mu     sync.Mutex
	out    io.Writer
	failed error
}

func newPrinter(out io.Writer, color bool, ids []string) *printer {
	p := &printer{out: out, color: color, prefix: map[string]string{}, broken: make(chan error, 1)}
	widest := 0
	for _, id := range ids {
		widest = max(widest, cells(Visible(id)))
	}
	for i, id := range ids {
		p.prefix[id] = p.paint(taskColors[i%len(taskColors)], pad(Visible(id), widest))
	}
	return p
}

func (p *printer) paint(color, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// header says what is about to run.
func (p *printer) header(opts Options) {
	n := len(opts.Pipeline.Tasks)
	what := "tasks"
	if n == 1 {
		what = "task"
	}
	p.write(fmt.Sprintf("%s: run %s, %d %s\n", Visible(opts.Pipeline.Name), Visible(opts.RunID), n, what))
}

// records prints a piece of a task's log.
func (p *printer) records(task string, records []*controlv1.LogRecord) {
	var b strings.Builder
	for _, r := range records {
		bar, text := p.record(r)
		p.line(&b, task, bar, text)
	}
	p.write(b.String())
}

// record is one record as its bar and its text.
func (p *printer) record(r *controlv1.LogRecord) (bar, text string) {
	switch r.GetMark() {
	case controlv1.LogMark_LOG_MARK_UNSPECIFIED:
	case controlv1.LogMark_LOG_MARK_RESTART:
		return p.mute(barMark), p.mute(fmt.Sprintf("%s begins again: the agent was restarted", Visible(r.GetStream())))
	case controlv1.LogMark_LOG_MARK_GAP:
		return p.mute(barMark), p.paint(colorYellow, gap(r))
	default:
		return p.mute(barMark), p.mute("a mark that this version does not know")
	}
	text = Visible(r.GetMessage())
	if r.GetCut() {
		text += p.paint(colorYellow, " (cut: the line was too long)")
	}
	switch stream := r.GetStream(); stream {
	case "stdout", "":
		return p.mute(barStdout), text
	case "stderr":
		return p.paint(colorRed, barStderr), text
	case "agent":
		return p.mute(barAgent), "agent: " + text
	default:
		return p.mute(barStdout), "[" + Visible(stream) + "] " + text
	}
}

func (p *printer) mute(text string) string { return p.paint(colorDim, text) }

func gap(r *controlv1.LogRecord) string {
	if r.GetGapThrough() <= r.GetLineNumber() {
		return fmt.Sprintf("line %d of %s is missing", r.GetLineNumber(), Visible(r.GetStream()))
	}
	return fmt.Sprintf("lines %d to %d of %s are missing", r.GetLineNumber(), r.GetGapThrough(), Visible(r.GetStream()))
}

// agent prints a line that an agent said of itself.
func (p *printer) agent(task, text string) {
	var b strings.Builder
	p.line(&b, task, p.mute(barAgent), "agent: "+Visible(text))
	p.write(b.String())
}

// mark prints a remark about a task's log.
func (p *printer) mark(task, text string) {
	var b strings.Builder
	p.line(&b, task, p.mute(barMark), p.paint(colorYellow, Visible(text)))
	p.write(b.String())
}

func (p *printer) line(b *strings.Builder, task, bar, text string) {
	b.WriteString(p.prefix[task])
	b.WriteByte(' ')
	b.WriteString(bar)
	if text != "" {
		b.WriteByte(' ')
		b.WriteString(text)
	}
	b.WriteByte('\n')
}

// write writes whole lines, and nothing more once that failed.
func (p *printer) write(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil || text == "" {
		return
	}
	if _, p.failed = io.WriteString(p.out, text); p.failed != nil {
		p.broken <- p.failed // once, and there is room
	}
}
