package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"

	"github.com/neochaotic/leoflow/conformance/suite"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// watch returns who tells on standard error how the run goes, and what ends the telling:
// a trace, a line on a terminal that is written over, or, elsewhere, nothing.
func (c *console) watch(traced bool) (watcher suite.Watcher, end func()) {
	if traced {
		return trace{c.err}, func() {}
	}
	if f, isFile := c.err.(*os.File); isFile && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb" {
		p := &progress{out: f, width: func() int { return columns(f) }}
		return p, p.clear
	}
	return nil, func() {}
}

// columns is how wide a terminal is.
func columns(f *os.File) int {
	const usual = 80
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return usual
	}
	return int(size.Col)
}

// clearLine returns to the begin of a terminal's line and empties it.
const clearLine = "\r\x1b[K"

// progress is a line on a terminal that says how far a run has got.
type progress struct {
	out   io.Writer
	width func() int

	runs, done, failed int
	now                []string // the checks that run, the last one to begin last
}

// Begin implements [suite.Watcher], as the methods that follow do.
func (p *progress) Begin(runs int) { p.runs = runs }

// Start shows the check.
func (p *progress) Start(check string) {
	p.now = append(p.now, check)
	p.show()
}

// Step shows nothing.
func (p *progress) Step(string, suite.Event) {}

// Done counts.
func (p *progress) Done(r suite.Result) {
	if at := slices.Index(p.now, r.Check); at >= 0 {
		p.now = slices.Delete(p.now, at, at+1)
	}
	p.done++
	if r.Status == suite.Failed || r.Status == suite.Broken {
		p.failed++
	}
	p.show()
}

func (p *progress) show() {
	line := fmt.Sprintf("%d/%d checks, %d failed", p.done, p.runs, p.failed)
	if last := len(p.now) - 1; last >= 0 {
		line += ", now " + p.now[last]
		if last > 0 {
			line += fmt.Sprintf(" and %d more", last)
		}
	}
	fmt.Fprint(p.out, clearLine+terminal.Shorten(line, p.width()-1))
}

func (p *progress) clear() { fmt.Fprint(p.out, clearLine) }

// trace tells every step of every check. Checks that run at once are told apart by their
// ids at the begin of each line.
type trace struct{ out io.Writer }

// Begin implements [suite.Watcher], as the methods that follow do.
func (t trace) Begin(runs int) {
	if runs == 1 {
		fmt.Fprintln(t.out, "1 run of checks")
		return
	}
	fmt.Fprintf(t.out, "%d runs of checks\n", runs)
}

// Start tells that a check begins.
func (t trace) Start(check string) { fmt.Fprintf(t.out, "%s  begins\n", check) }

// Step tells the step.
func (t trace) Step(check string, e suite.Event) {
	fmt.Fprintf(t.out, "%s  %s\n", check, e.Text(terminal.Visible))
}

// Done tells what became of the check.
func (t trace) Done(r suite.Result) {
	fmt.Fprintf(t.out, "%s  %s after %v\n", r.Check, r.Status, r.Took.Round(time.Millisecond))
	if r.Reason == "" {
		return
	}
	for line := range strings.SplitSeq(r.Reason, "\n") {
		fmt.Fprintf(t.out, "%s      %s\n", r.Check, terminal.Visible(line))
	}
}
