package pipeline

import (
	"fmt"
	"strings"
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
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

// printer tells a run to a person: its lines, a table at the end, and on a terminal a
// live line below them.
type printer struct {
	*lines
	color  bool
	width  func() int
	prefix map[string]string // by task id: the coloured id, padded as far as most others are
}

func newPrinter(opts Options) *printer {
	p := &printer{lines: newLines(opts.Out), color: opts.Color, width: opts.Width, prefix: map[string]string{}}
	if opts.Live {
		p.live = &liveLine{
			width: opts.Width, now: opts.now, paint: p.mute,
			states: map[string]domain.TaskState{}, stop: make(chan struct{}),
		}
	}
	widest := 0
	for i := range opts.Pipeline.Tasks {
		widest = max(widest, terminal.Cells(terminal.Visible(opts.Pipeline.Tasks[i].ID)))
	}
	for i := range opts.Pipeline.Tasks {
		id := opts.Pipeline.Tasks[i].ID
		p.prefix[id] = p.paint(taskColors[i%len(taskColors)], terminal.Pad(terminal.Visible(id), min(widest, maxName)))
	}
	return p
}

func (p *printer) paint(color, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func (p *printer) began(opts Options) {
	n := len(opts.Pipeline.Tasks)
	what := "tasks"
	if n == 1 {
		what = "task"
	}
	text := fmt.Sprintf("%s: run %s, %d %s", terminal.Visible(opts.Pipeline.Name), terminal.Visible(opts.RunID), n, what)
	if opts.Resume {
		text += ", resumed"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live != nil {
		p.live.begin(p.lines, n)
	}
	p.put(text + "\n")
}

func (p *printer) changed(t *task, _ time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live != nil {
		p.live.states[t.id] = t.state
		p.put("")
	}
}

func (p *printer) delayed(t *task, wait time.Duration) {
	p.remark(t.id, t.try, fmt.Sprintf("try %d of %d begins in %s", t.try+1, max(t.try, t.retry.Times)+1, briefly(wait)))
}

func (p *printer) stopping(cause error, again bool) {
	text := cause.Error() + "; the tasks that run are asked to end"
	if again {
		text += ", and killed by a second signal"
	}
	p.write(p.paint(colorYellow, terminal.Visible(text)) + "\n")
}

// records prints a piece of a task's log.
func (p *printer) records(task string, _ int, records []*controlv1.LogRecord) {
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
func (p *printer) agent(task string, _ int, text string) {
	var b strings.Builder
	p.line(&b, task, p.mute(string(terminal.BarAgent)), "agent: "+terminal.Visible(text))
	p.write(b.String())
}

// remark prints a remark about a task or its log.
func (p *printer) remark(task string, _ int, text string) {
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
