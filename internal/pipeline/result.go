package pipeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// Result is what became of a run.
type Result struct {
	DagID, RunID string
	Tasks        []TaskResult // in the order of the file
}

// TaskResult is what became of a task, as far as the watch told.
type TaskResult struct {
	ID       string
	State    domain.TaskState
	Try      int           // 0: never launched
	Duration time.Duration // by the control plane's clock; 0 where it did not run
	Cause    domain.Cause
	ExitCode int
	Message  string // as reported; it may hold anything
	tries    []span
	// FailedUpstream is the first task that kept this one from starting.
	FailedUpstream string
}

// Succeeded reports whether every task succeeded or was skipped.
func (r Result) Succeeded() bool {
	for _, t := range r.Tasks {
		if t.State != domain.TaskStateSuccess && t.State != domain.TaskStateSkipped {
			return false
		}
	}
	return true
}

func (d *driver) result() Result {
	r := Result{DagID: d.opts.Pipeline.Name, RunID: d.opts.RunID}
	for _, t := range d.tasks {
		out := TaskResult{
			ID: t.id, State: t.state, Try: t.try, Duration: t.duration(),
			Cause: t.cause, ExitCode: t.exitCode, Message: t.message, tries: t.tries,
		}
		if t.state == domain.TaskStateUpstreamFailed {
			out.FailedUpstream = t.failedUpstream()
		}
		r.Tasks = append(r.Tasks, out)
	}
	return r
}

// duration is how long the last try ran, or waited for an agent that never came.
func (t *task) duration() time.Duration {
	if len(t.tries) == 0 {
		return 0
	}
	s := t.tries[len(t.tries)-1]
	began := s.started
	if began.IsZero() {
		began = s.queued
	}
	if began.IsZero() || s.ended.IsZero() {
		return 0
	}
	return max(0, s.ended.Sub(began))
}

// maxWhy is the widest that the last column gets, in cells.
const maxWhy = 120

// why says why a task did not succeed, in one line that is fit to be shown.
func (t TaskResult) why() string {
	if t.FailedUpstream != "" {
		return terminal.Visible(t.FailedUpstream) + " did not succeed"
	}
	var parts []string
	cause := terminal.Visible(string(t.Cause))
	if t.ExitCode != 0 {
		cause = strings.TrimSpace(cause + " (code " + strconv.Itoa(t.ExitCode) + ")")
	}
	if cause != "" {
		parts = append(parts, cause)
	}
	message, _, more := strings.Cut(strings.TrimSpace(t.Message), "\n")
	if message = terminal.Visible(message); more {
		message += " …"
	}
	if message != "" {
		parts = append(parts, message)
	}
	return terminal.Shorten(strings.Join(parts, ": "), maxWhy)
}

// ended prints the result as a table, and when it happened.
func (p *printer) ended(r Result, _ error) error {
	if p.live != nil {
		p.live.end(p.lines)
	}
	t := terminal.Table{{"TASK", "STATE", "TRY", "DURATION", "CAUSE"}}
	for _, task := range r.Tasks {
		try, took := "-", "-"
		if task.Try > 0 {
			try, took = strconv.Itoa(task.Try), briefly(task.Duration)
		}
		t = append(t, []string{task.ID, string(task.State), try, took, task.why()})
	}
	p.write("\n" + t.Paint(func(row, column int, text string) string {
		if row > 0 && column == 1 {
			return p.paint(stateColor(r.Tasks[row-1].State), text)
		}
		return text
	}))
	if drawn := timeline(r, p.width(), func(task int, row string) string {
		return p.paint(stateColor(r.Tasks[task].State), row)
	}); drawn != "" {
		p.write("\n" + drawn)
	}
	p.write("\n" + p.summary(r) + "\n")
	return p.failure()
}

// summary is the last line: how many tasks have which state, and how long it all took.
func (p *printer) summary(r Result) string {
	n := map[domain.TaskState]int{}
	var order []domain.TaskState
	for _, t := range r.Tasks {
		if n[t.State]++; n[t.State] == 1 {
			order = append(order, t.State)
		}
	}
	slices.SortStableFunc(order, func(a, b domain.TaskState) int { return n[b] - n[a] })
	var parts []string
	for _, state := range order {
		parts = append(parts, p.paint(stateColor(state), fmt.Sprintf("%d %s", n[state], state)))
	}
	text := terminal.Visible(r.DagID) + ": " + strings.Join(parts, ", ")
	if from, to := extent(r); !from.IsZero() {
		text += " in " + briefly(to.Sub(from))
	}
	return text
}

func stateColor(s domain.TaskState) string {
	switch s {
	case domain.TaskStateSuccess:
		return colorGreen
	case domain.TaskStateFailed:
		return colorRed
	default:
		return colorYellow
	}
}

// briefly writes a duration with as much precision as a person wants.
func briefly(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}
