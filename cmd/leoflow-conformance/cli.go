package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1 // a check failed, or nothing passed
	exitBadUsage    = 2 // a flag or an argument is wrong
	exitUnreachable = 3 // the system under test does not answer
	exitOwnFault    = 4 // the suite itself failed
)

const description = `The rules of the protocol between a Leoflow control plane and its agents.

List what an agent must do:

  leoflow-conformance list --side agent --level must

Tell what a rule says, why, and what it takes to judge it:

  leoflow-conformance explain STATE-4

Judge a control plane:

  leoflow-conformance server --addr 127.0.0.1:7400 --fixtures-addr 127.0.0.1:7401

Judge an agent:

  leoflow-conformance agent -- ./my-agent`

type cli struct {
	List    listCmd    `cmd:"" help:"List the rules."`
	Explain explainCmd `cmd:"" help:"Tell all about a rule."`
	Server  serverCmd  `cmd:"" help:"Judge a control plane."`
	Agent   agentCmd   `cmd:"" help:"Judge an agent."`
	Prepare prepareCmd `cmd:"" help:"Prepare a file of fixtures."`
}

// console is where a command writes to, and what it tells of.
type console struct {
	out, err io.Writer
	rules    *catalogue.Catalogue
}

// badUsage marks an error as one of the command line.
type badUsage struct{ error }

// run is the program: it returns the exit code.
func run(args []string, out, errOut io.Writer) int {
	rules, err := conformance.Load()
	if err != nil {
		return tell(errOut, err)
	}
	var flags cli
	helped := false
	parser, err := newParser(&flags, out, errOut, func(int) { helped = true })
	if err != nil {
		return tell(errOut, err)
	}
	// The parser would put other characters into what is no UTF-8.
	for i, arg := range args {
		if !utf8.ValidString(arg) {
			return tell(errOut, badUsage{fmt.Errorf("argument %d is not UTF-8: see leoflow-conformance --help", i+1)})
		}
	}
	ctx, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return tell(errOut, badUsage{fmt.Errorf("%w; %s", err, remedy(err))})
	}
	return tell(errOut, ctx.Run(&console{out: out, err: errOut, rules: rules}))
}

// newParser makes the parser of the command line. It calls exit once it has given help.
func newParser(flags *cli, out, errOut io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(flags,
		kong.Name("leoflow-conformance"),
		kong.Description(description),
		kong.Writers(out, errOut),
		kong.Exit(exit),
		kong.Vars{
			"levels":    either(catalogue.Levels()),
			"sides":     either(catalogue.Sides()),
			"evidences": either(catalogue.Evidences()),
			"lacking":   either(agentsuite.Optional()),
		},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100, NoAppDescFormat: true}),
	)
}

// remedy says where a wrong command line is put right.
func remedy(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if command := parse.Context.Selected(); command != nil {
			return fmt.Sprintf("see %s --help", command.FullPath())
		}
	}
	return "see leoflow-conformance --help"
}

// tell tells an error, one line for each fault that it joins, and returns the exit
// code that it means.
func tell(errOut io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var told ended
	if errors.As(err, &told) {
		return told.code
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(errOut, "leoflow-conformance: %s\n", terminal.Visible(line))
	}
	var bad badUsage
	var away unreachable
	switch {
	case errors.As(err, &bad):
		return exitBadUsage
	case errors.As(err, &away):
		return exitUnreachable
	}
	return exitOwnFault
}

func (c *console) write(text string) error {
	if _, err := io.WriteString(c.out, text); err != nil {
		return fmt.Errorf("the output cannot be written: %w", err)
	}
	return nil
}
