// Package pipeline drives a pipeline through a control plane: it creates the run,
// launches an agent process for each task whose time has come, watches what becomes
// of them, settles what ended without a word, and prints their logs and a table.
//
// It knows the control plane by leoflow.control.v1 only, and agents by the
// [Launcher] that starts them. It may import gen, internal/domain,
// internal/pipeline/file, grpc and libraries, never the server.
package pipeline

import (
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// DefaultStopWait is how long agents have to end once a run is stopped: longer than
// an agent gives its task, and itself for its last report.
const DefaultStopWait = 45 * time.Second

// Options says what to drive, and how. Pipeline, Client, Launcher and Out are needed.
type Options struct {
	// Pipeline is what to run. Its name is the run's DAG.
	Pipeline *file.Pipeline
	// Client calls the control plane as an operator.
	Client controlv1.ControlServiceClient
	// Launcher starts agents.
	Launcher Launcher
	// RunID names the run; empty: manual__ and the present time.
	RunID string
	// Resume goes on with the run of that id, which must exist, and must have been
	// created from what the file says. Tasks that have an outcome keep it, and live
	// attempts of another driver are waited for. Without it the run must be a new one.
	Resume bool
	// Orphaned says that no agent of an earlier attempt can reach the control plane:
	// those that are live when the run is resumed are settled as lost.
	Orphaned bool
	// Parallel is the most attempts at once; 0: the number of CPUs, at least 2.
	Parallel int
	// Out takes what is told. When it fails, the run stops.
	Out io.Writer
	// JSON tells events, an object a line, in place of lines for a person.
	JSON bool
	// Color colours what goes to Out.
	Color bool
	// Live keeps a line at the bottom of Out, a terminal, that says how far the run is.
	Live bool
	// Width returns how wide Out is, in cells; nil: 80.
	Width func() int
	// StopWait is how long agents have to end before they are killed; 0:
	// [DefaultStopWait].
	StopWait time.Duration
	// Hurry, when closed, kills the agents at once and stops the run; nil: never.
	Hurry <-chan struct{}

	now  func() time.Time // nil: time.Now
	pace *pace            // nil: defaultPace
}

// pace holds the waits of a driver, so that tests can shorten them.
type pace struct {
	firstWait, maxWait time.Duration // between two tries of a call, growing
	try                time.Duration // one try of a call
	budget             time.Duration // all tries of a call, or of renewing a stream
	cancel             time.Duration // for the cancel of the run to be answered
	stopCalls          time.Duration // for the last calls, once the agents had their time to end
	hurry              time.Duration // the same, in a hurry
	quiet              time.Duration // for the next piece of an ended attempt's log
}

var defaultPace = pace{
	firstWait: 50 * time.Millisecond,
	maxWait:   2 * time.Second,
	try:       30 * time.Second,
	budget:    time.Minute,
	cancel:    5 * time.Second,
	stopCalls: 15 * time.Second,
	hurry:     5 * time.Second,
	quiet:     15 * time.Second,
}

func (o Options) completed() (Options, error) {
	switch {
	case o.Pipeline == nil || o.Client == nil || o.Launcher == nil || o.Out == nil:
		return o, errors.New("a pipeline, a client, a launcher and an output are needed")
	case o.Parallel < 0:
		return o, &InputError{Problem: "fewer than no attempts at once", Remedy: "allow at least 1"}
	}
	if o.Parallel == 0 {
		o.Parallel = max(2, runtime.NumCPU())
	}
	if o.StopWait <= 0 {
		o.StopWait = DefaultStopWait
	}
	if o.Width == nil {
		o.Width = func() int { return defaultWidth }
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.pace == nil {
		o.pace = &defaultPace
	}
	if o.RunID == "" {
		o.RunID = "manual__" + o.now().UTC().Format("2006-01-02T15:04:05.000000-07:00")
	}
	return o, nil
}

// InputError is a fault of what the caller gave: nothing has started.
type InputError struct{ Problem, Remedy string }

// Error is one line.
func (e *InputError) Error() string { return e.Problem + "; " + e.Remedy }

// IsTerminal reports whether f is a terminal that understands more than plain text.
func IsTerminal(f *os.File, getenv func(string) string) bool {
	return getenv("TERM") != "dumb" && isTerminal(f)
}

// UseColor reports whether to colour what goes to f: it is a terminal that can, and
// NO_COLOR is not set.
func UseColor(f *os.File, getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && IsTerminal(f, getenv)
}
