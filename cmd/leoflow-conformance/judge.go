package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/report"
	"github.com/neochaotic/leoflow/conformance/suite"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// judging is the flags of every command that runs checks.
type judging struct {
	Rule         []string `placeholder:"ID" help:"Only this rule, family or check; may be given again."`
	RPC          string   `name:"rpc" placeholder:"METHOD" help:"Only checks of this RPC, such as Heartbeat."`
	Level        string   `placeholder:"LEVEL" help:"Only rules of this level: ${levels}."`
	Repeat       int      `default:"1" placeholder:"N" help:"How often each check runs, in an order of its own each time."`
	Seed         uint64   `placeholder:"N" help:"Makes the order and the choices of a run again; 0, the default, takes a new one."`
	Parallel     int      `default:"${parallel}" placeholder:"N" help:"How many checks run at once, by default ${default}."`
	TimeScale    float64  `default:"1" placeholder:"X" help:"Stretches every deadline and wait."`
	KnownFailing string   `placeholder:"FILE" help:"Checks or rules that are known to fail: on each line an id, a space, and the reason."`
	Skip         []string `sep:"none" placeholder:"ID=REASON" help:"A rule, family or check that is not run, and why; may be given again."`
	Trace        bool     `help:"Tell on standard error each thing that a check does or sees, as it happens."`
	Output       string   `short:"o" default:"text" enum:"text,json,markdown" placeholder:"FORM" help:"Form of the results: text; json, for programs; or markdown, a summary. By default ${default}."`
	reports
}

// options are what the flags say. Reports that cannot be written are found here.
func (j *judging) options(rules *catalogue.Catalogue, side catalogue.Side) (suite.Options, error) {
	o := suite.Options{
		Rules: rules, Side: side, Seed: j.Seed, Repeat: j.Repeat, Parallel: j.Parallel, TimeScale: j.TimeScale,
	}
	for _, id := range j.Rule {
		o.Only = append(o.Only, idOf(id))
	}
	if j.Repeat < 1 || j.Parallel < 1 || j.TimeScale <= 0 {
		return o, badUsage{errors.New("--repeat, --parallel or --time-scale is 0 or less: give more, or leave it out")}
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1 << 32) //nolint:gosec // an order of checks
	}
	var err error
	if o.Level, err = choice("--level", j.Level, catalogue.Levels()); err != nil {
		return o, badUsage{err}
	}
	if j.RPC != "" {
		if o.RPC, err = catalogue.FindRPC(j.RPC); err != nil {
			return o, badUsage{fmt.Errorf("--rpc: %w", err)}
		}
	}
	if j.KnownFailing != "" {
		if o.KnownFailing, err = readKnown(j.KnownFailing); err != nil {
			return o, badUsage{fmt.Errorf("--known-failing: %w", err)}
		}
	}
	if o.Skip, err = readSkips(j.Skip); err != nil {
		return o, badUsage{err}
	}
	if err := j.writable(); err != nil {
		return o, badUsage{err}
	}
	return o, nil
}

// idOf is the id of a rule, family or check, of which the first part may be in small
// letters.
func idOf(given string) string {
	rule, word, isCheck := strings.Cut(given, "/")
	if rule = strings.ToUpper(rule); isCheck {
		rule += "/" + word
	}
	return rule
}

// readSkips reads what is to be left out: ids, and reasons after an equals sign.
func readSkips(given []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range given {
		id, reason, _ := strings.Cut(text, "=")
		if strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("--skip %q has no reason: write --skip 'ID=why it is left out'", text)
		}
		out[idOf(id)] = strings.TrimSpace(reason)
	}
	return out, nil
}

// readKnown reads a list of known failures. Lines that are empty or begin with # say
// nothing.
func readKnown(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		id, reason := line, ""
		if end := strings.IndexFunc(line, unicode.IsSpace); end > 0 {
			id, reason = idOf(line[:end]), strings.TrimSpace(line[end:])
		}
		if reason == "" {
			return nil, fmt.Errorf("%s:%d: %q has no reason; write `ID why it fails`", path, i+1, id)
		}
		if _, twice := out[id]; twice {
			return nil, fmt.Errorf("%s:%d: %q comes twice; keep one", path, i+1, id)
		}
		out[id] = reason
	}
	return out, nil
}

// run runs the checks, tells the results, and writes the reports. What went wrong is an
// error that has the exit code.
func (j *judging) run(con *console, o suite.Options, checks []suite.Check) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal ends the process
	watch, finish := con.watch(j.Trace)
	o.Watch = watch
	results, err := suite.Run(ctx, checks, o)
	finish()
	if err != nil {
		return badUsage{fmt.Errorf("%w; see leoflow-conformance list", err)}
	}
	told := report.New(o, results, j.systemName(string(o.Side)))
	text := []byte(results.Text(terminal.Visible))
	switch j.Output {
	case "json":
		text, err = report.JSON(told)
	case "markdown":
		text, err = report.Markdown(told)
	}
	if err := errors.Join(err, con.write(string(text)), j.write(told)); err != nil {
		return err
	}
	if code := results.ExitCode(); code != exitOK {
		return ended{code}
	}
	return nil
}

// ended is the end of a run that told by itself why.
type ended struct{ code int }

func (ended) Error() string { return "" }
