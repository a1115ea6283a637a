package pipeline

import (
	"fmt"
	"io"
	"strings"
	"sync"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/terminal"
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
		widest = max(widest, terminal.Cells(terminal.Visible(id)))
	}
	for i, id := range ids {
		p.prefix[id] = p.paint(taskColors[i%len(taskColors)], terminal.Pad(terminal.Visible(id), widest))
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
	p.write(fmt.Sprintf("%s: run %s, %d %s\n", terminal.Visible(opts.Pipeline.Name), terminal.Visible(opts.RunID), n, what))
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
	line := terminal.LineOf(r)
	bar, text = p.mute(string(line.Bar)), line.Text
	switch line.Bar {
	case terminal.BarStderr:
		bar = p.paint(colorRed, string(line.Bar))
	case terminal.BarMark:
		text = p.mute(text)
	}
	if line.Warning != "" {
		text = strings.TrimLeft(text+" "+p.paint(colorYellow, line.Warning), " ")
	}
	return bar, text
}

func (p *printer) mute(text string) string { return p.paint(colorDim, text) }

// agent prints a line that an agent said of itself.
func (p *printer) agent(task, text string) {
	var b strings.Builder
	p.line(&b, task, p.mute(string(terminal.BarAgent)), "agent: "+terminal.Visible(text))
	p.write(b.String())
}

// mark prints a remark about a task's log.
func (p *printer) mark(task, text string) {
	var b strings.Builder
	p.line(&b, task, p.mute(string(terminal.BarMark)), p.paint(colorYellow, terminal.Visible(text)))
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
