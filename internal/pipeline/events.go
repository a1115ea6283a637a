package pipeline

import (
	"encoding/json"
	"strings"
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// events tells a run as JSON, an object a line, whose event says which of the structs
// below it is: run_started, task, retry_delay, log, notice or run_ended. The fields
// have the names, and the words for states and causes, of leoflow.control.v1; each is
// there in every event of its kind. Kinds and fields may be added, and none is taken
// away. No line steers a terminal (LOG-8).
type events struct {
	*lines
	now func() time.Time
}

func newEvents(opts Options) *events { return &events{lines: newLines(opts.Out), now: opts.now} }

// runStarted comes first, once.
type runStarted struct {
	Event   string   `json:"event"`
	Time    string   `json:"time"` // when the driver began, RFC 3339, UTC, as every time
	DagID   string   `json:"dag_id"`
	RunID   string   `json:"run_id"`
	Resumed bool     `json:"resumed"`  // its events so far come again
	TaskIDs []string `json:"task_ids"` // in the order of the file
}

// taskChanged is a change of a task's state.
type taskChanged struct {
	Event    string `json:"event"`
	Time     string `json:"time"` // by the control plane's clock
	TaskID   string `json:"task_id"`
	Try      int    `json:"try_number"` // 0: none was launched
	State    string `json:"state"`
	Cause    string `json:"cause"`
	ExitCode int    `json:"exit_code"`
	Message  string `json:"message"`
}

// retryDelayed says that this driver waits before it launches a task's next try.
type retryDelayed struct {
	Event   string  `json:"event"`
	Time    string  `json:"time"`
	TaskID  string  `json:"task_id"`
	Next    int     `json:"next_try_number"`
	Seconds float64 `json:"seconds"`
}

// logLine is a line of a task's log, or a mark that nobody printed.
type logLine struct {
	Event   string `json:"event"`
	Time    string `json:"time"` // when it was printed; empty: unknown
	TaskID  string `json:"task_id"`
	Try     int    `json:"try_number"`
	Stream  string `json:"stream"`
	Level   string `json:"level"`
	Mark    string `json:"mark"`
	Number  int64  `json:"line_number"` // 0: none
	Through int64  `json:"gap_through"`
	Cut     bool   `json:"cut"`
	Message string `json:"message"`
}

// notice is what an agent said of itself (source agent), or what there is to know of
// a task's log (source log).
type notice struct {
	Event   string `json:"event"`
	Time    string `json:"time"`
	TaskID  string `json:"task_id"`
	Try     int    `json:"try_number"`
	Source  string `json:"source"`
	Message string `json:"message"`
}

// runEnded comes last, once.
type runEnded struct {
	Event string `json:"event"`
	Time  string `json:"time"`
	// Succeeded: every task succeeded or was skipped, and the run was not stopped.
	Succeeded bool      `json:"succeeded"`
	Error     string    `json:"error"` // why the run was stopped; empty: it was not
	Tasks     []taskEnd `json:"tasks"` // in the order of the file
}

// taskEnd is what became of a task.
type taskEnd struct {
	TaskID   string  `json:"task_id"`
	Try      int     `json:"try_number"`
	State    string  `json:"state"`
	Cause    string  `json:"cause"`
	ExitCode int     `json:"exit_code"`
	Message  string  `json:"message"`
	Upstream string  `json:"failed_upstream_task_id"` // empty: it was launched, or skipped
	Seconds  float64 `json:"duration_seconds"`        // of its last try
}

func (e *events) tell(event any) {
	text, err := json.Marshal(event)
	if err != nil {
		return // no event holds what JSON cannot
	}
	e.write(terminal.JSON(string(text)) + "\n")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func stateWord(s domain.TaskState) string { return "TASK_STATE_" + strings.ToUpper(string(s)) }

func causeWord(c domain.Cause) string {
	if c == domain.CauseNone {
		return controlv1.Cause_CAUSE_UNSPECIFIED.String()
	}
	return "CAUSE_" + strings.ToUpper(string(c))
}

func (e *events) began(opts Options) {
	event := runStarted{Event: "run_started", Time: stamp(e.now()), DagID: opts.Pipeline.Name, RunID: opts.RunID, Resumed: opts.Resume}
	for i := range opts.Pipeline.Tasks {
		event.TaskIDs = append(event.TaskIDs, opts.Pipeline.Tasks[i].ID)
	}
	e.tell(event)
}

func (e *events) changed(t *task, at time.Time) {
	e.tell(taskChanged{
		Event: "task", Time: stamp(at), TaskID: t.id, Try: t.try, State: stateWord(t.state), Cause: causeWord(t.cause),
		ExitCode: t.exitCode, Message: t.message,
	})
}

func (e *events) delayed(t *task, wait time.Duration) {
	e.tell(retryDelayed{Event: "retry_delay", Time: stamp(e.now()), TaskID: t.id, Next: t.try + 1, Seconds: wait.Seconds()})
}

func (e *events) records(task string, try int, records []*controlv1.LogRecord) {
	for _, r := range records {
		at := ""
		if r.GetTime() != nil {
			at = stamp(r.GetTime().AsTime())
		}
		e.tell(logLine{
			Event: "log", Time: at, TaskID: task, Try: try, Stream: r.GetStream(),
			Level: r.GetLevel().String(), Mark: r.GetMark().String(), Number: r.GetLineNumber(),
			Through: r.GetGapThrough(), Cut: r.GetCut(), Message: r.GetMessage(),
		})
	}
}

func (e *events) agent(task string, try int, text string) {
	e.tell(notice{Event: "notice", Time: stamp(e.now()), TaskID: task, Try: try, Source: "agent", Message: text})
}

func (e *events) remark(task string, try int, text string) {
	e.tell(notice{Event: "notice", Time: stamp(e.now()), TaskID: task, Try: try, Source: "log", Message: text})
}

// stopping is told at the end, by run_ended.
func (e *events) stopping(error, bool) {}

func (e *events) ended(r Result, stopped error) error {
	event := runEnded{Event: "run_ended", Time: stamp(e.now()), Succeeded: r.Succeeded() && stopped == nil, Tasks: []taskEnd{}}
	if stopped != nil {
		event.Error = stopped.Error()
	}
	for _, t := range r.Tasks {
		event.Tasks = append(event.Tasks, taskEnd{
			TaskID: t.ID, Try: t.Try, State: stateWord(t.State), Cause: causeWord(t.Cause), ExitCode: t.ExitCode,
			Message: t.Message, Upstream: t.FailedUpstream, Seconds: t.Duration.Seconds(),
		})
	}
	e.tell(event)
	return e.failure()
}
