package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/neochaotic/leoflow/cmd/leoflow/internal/configfile"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/pipeline"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
	"github.com/neochaotic/leoflow/internal/reaper"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/terminal"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// The exit codes. A run that a signal stopped ends with 128 and the signal's number.
const (
	exitOK       = 0
	exitFailed   = 1 // a task failed, or what was asked for could not be done
	exitBadInput = 2 // nothing was started: a flag, a file or a value is wrong
)

const description = `Leoflow runs the tasks of a pipeline in their order, each in an agent of its own, on a control plane that keeps what became of them.

Run the tasks of a file, on a control plane that lives as long as the run:

  leoflow run examples/timezones.yaml

Serve a control plane for others, and mint a token to call it with:

  leoflow serve
  leoflow token

See what became of its runs, as whoever has the token:

  leoflow runs list
  leoflow logs -f timezones manual__2026-01-31T08:00:00Z extract

Every flag is also a variable of the environment, and a key of a configuration file; the command line goes before the environment, and that before the file.

What is listed or shown is a table or, with -o json, one object a line.

The exit code is 0; 1 when a task failed, or what was asked for was refused or could not be done; 2 when a flag, a file or a value is wrong, and nothing was done; 128 and the number of the signal when one ended it.`

// cli is the command line. Variables of the environment that stand for a flag name
// their command, but for those of flags that several have, so that none is one of
// those that agents and tasks are given.
type cli struct {
	Config string           `env:"LEOFLOW_CONFIG" placeholder:"FILE" help:"Configuration file, YAML, whose keys are names of flags; by default leoflow/config.yaml in the user's configuration directory, where there is one; empty: none."`
	file   *configfile.File // nil: there is none

	Run        runCmd        `cmd:"" help:"Run the tasks of a pipeline file."`
	Serve      serveCmd      `cmd:"" help:"Serve a control plane."`
	Token      tokenCmd      `cmd:"" help:"Mint an operator's token."`
	Runs       runsCmd       `cmd:"" help:"List runs, or show one."`
	Tasks      tasksCmd      `cmd:"" help:"List the tasks of a run."`
	Attempts   attemptsCmd   `cmd:"" help:"List the tries of a task."`
	Logs       logsCmd       `cmd:"" help:"Print the log of a task."`
	Value      valueCmd      `cmd:"" help:"Write what a task handed on."`
	Cancel     cancelCmd     `cmd:"" help:"Cancel a run, or a task of it."`
	Retry      retryCmd      `cmd:"" help:"Have tasks wait for another try."`
	Variable   variableCmd   `cmd:"" help:"Store, list or delete variables."`
	Connection connectionCmd `cmd:"" help:"Store, list or delete connections."`
	Audit      auditCmd      `cmd:"" help:"List who got or wrote which secrets."`
	Secrets    secretsCmd    `cmd:"" help:"Rotate the keys of secrets, or say which ones tasks get."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the database up to this version."`
	Copy       copyCmd       `cmd:"" help:"Move the embedded database into PostgreSQL."`
	Backup     backupCmd     `cmd:"" help:"Copy database, logs and keys into a file."`
	Restore    restoreCmd    `cmd:"" help:"Make a data directory of a backup."`
	Completion completionCmd `cmd:"" help:"Print a script that has a shell complete commands."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Reference  referenceCmd  `cmd:"" hidden:"" help:"Write the reference page. This is what make generate calls."`
	Complete   completeCmd   `cmd:"" hidden:"" help:"Complete a command line. This is what the scripts of completion call."`
	Agent      agentCmd      `cmd:"" hidden:"" help:"Run one attempt, as the environment says. This is what run launches."`
}

// console is where a command writes to.
type console struct {
	out, err *os.File
}

// exitCode is the error of a command that has said all there is to say.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// badInput marks an error as one of input.
type badInput struct{ error }

func (e badInput) Unwrap() error { return e.error }

// run is the program: it returns the exit code.
func run(args []string, out, errOut *os.File) int {
	// Notified of, rather than ignored, which commands would inherit: a closed output
	// is then an error of writing, and the run stops in order.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	var flags cli
	parser, err := newParser(&flags, out, errOut)
	if err != nil {
		fmt.Fprintf(errOut, "leoflow: %v\n", err)
		return exitFailed
	}
	if err := checkText(args, os.Environ()); err != nil {
		return report(errOut, err)
	}
	ctx, err := parser.Parse(args)
	var inConfig *configfile.Error
	if errors.As(err, &inConfig) {
		return report(errOut, badInput{inConfig})
	}
	if err != nil {
		tell(errOut, fmt.Errorf("%w; %s", err, remedy(err)))
		return exitBadInput
	}
	return report(errOut, flags.withOrigin(ctx, ctx.Run(&console{out: out, err: errOut})))
}

func newParser(flags *cli, out, errOut io.Writer) (*kong.Kong, error) {
	return kong.New(flags,
		kong.Name("leoflow"),
		kong.Description(description),
		kong.Writers(out, errOut),
		kong.Vars{
			"addr": server.DefaultAddr, "dataDir": server.DefaultDataDir,
			"xcomMaxBytes": strconv.Itoa(xcom.MaxSizeBytes), "xcomTTL": xcom.DefaultTTL.String(),
			"databaseWait": server.DefaultDatabaseWait.String(), "silenceWindow": reaper.DefaultSilence.String(), "queueWindow": reaper.DefaultQueue.String(),
			"attemptRate": strconv.Itoa(server.DefaultAttemptRate), "tenantRate": strconv.Itoa(server.DefaultTenantRate),
			"authenticateWithin": server.DefaultAuthenticateWithin.String(),
			"beatInterval":       domain.BeatInterval.String(),
		},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100, NoAppDescFormat: true}),
	)
}

// checkText refuses what is no UTF-8: the parser would put other characters into it,
// a secret's among them, without a word.
func checkText(args, environ []string) error {
	for i, arg := range args {
		if !utf8.ValidString(arg) {
			return badInput{fmt.Errorf("argument %d is not UTF-8: encode it, or give a secret's value as a file with @", i+1)}
		}
	}
	for _, kv := range environ {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "LEOFLOW_RUN_") && !utf8.ValidString(kv) {
			return badInput{fmt.Errorf("the variable %s is not UTF-8: encode it", name)}
		}
	}
	return nil
}

// remedy says where a wrong command line is put right.
func remedy(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if command := parse.Context.Selected(); command != nil {
			return fmt.Sprintf("see %s --help", command.FullPath())
		}
	}
	return "see leoflow --help"
}

// report tells an error and returns the exit code that it means.
func report(errOut io.Writer, err error) int {
	var code exitCode
	var input *pipeline.InputError
	var inFile *file.Error
	var bad badInput
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	tell(errOut, err)
	if errors.As(err, &input) || errors.As(err, &inFile) || errors.As(err, &bad) {
		return exitBadInput
	}
	return exitFailed
}

// tell writes an error, one line for each fault that it joins.
func tell(errOut io.Writer, err error) {
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(errOut, "leoflow: %s\n", terminal.Visible(line))
	}
}
