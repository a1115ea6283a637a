package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/neochaotic/leoflow/internal/pipeline"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

type runCmd struct {
	Pipeline string `arg:"" env:"LEOFLOW_RUN_PIPELINE" help:"The pipeline file, YAML."`

	Server string `env:"LEOFLOW_RUN_SERVER" placeholder:"HOST:PORT" help:"Run on this control plane, called as --token, --token-file, --ca and --plaintext say, with agents on this machine. Without it a control plane lives in this process, as long as the run."`
	accessFlags

	DataDir    string   `env:"LEOFLOW_RUN_DATA_DIR" placeholder:"DIR" help:"Keep the database and the logs in DIR. Without it they are temporary, and gone at the end."`
	RunID      string   `name:"run-id" env:"LEOFLOW_RUN_ID" placeholder:"ID" help:"Name of the run; by default manual__ and the present time."`
	Resume     string   `env:"LEOFLOW_RUN_RESUME" placeholder:"RUN-ID" help:"Go on with this run, which was begun with the same file and has not come to its end: on --server, or in --data-dir."`
	Tenant     string   `default:"default" env:"LEOFLOW_RUN_TENANT" placeholder:"NAME" help:"Tenant that the run belongs to, by default ${default}; with --server it is that of the token."`
	Parallel   int      `default:"0" env:"LEOFLOW_RUN_PARALLEL" placeholder:"N" help:"Most tasks at once; 0 is as many as there are CPUs, but at least 2."`
	Var        []string `sep:"none" env:"LEOFLOW_RUN_VAR" placeholder:"KEY=VALUE" help:"A variable that the tasks get, as AIRFLOW_VAR_KEY. May be given again."`
	Connection []string `sep:"none" env:"LEOFLOW_RUN_CONNECTION" placeholder:"ID=URI" help:"A connection that the tasks get, as AIRFLOW_CONN_ID. May be given again."`
	Agent      string   `env:"LEOFLOW_RUN_AGENT" placeholder:"COMMAND" help:"Launch this for each attempt in place of the agent in this program, in the folder of the pipeline file; it is split at blanks, and {temp} becomes a directory of the attempt's own."`
	JSON       bool     `name:"json" env:"LEOFLOW_RUN_JSON" help:"Tell what happens as JSON, an object a line, in place of lines for a person."`
	NoColor    bool     `env:"LEOFLOW_RUN_NO_COLOR" help:"Do not colour the output; NO_COLOR does the same."`
	Verbose    bool     `short:"v" env:"LEOFLOW_RUN_VERBOSE" help:"Show the log of the control plane too, on standard error."`
}

// Help teaches by example.
func (runCmd) Help() string {
	return `Run a file, and keep nothing but what its tasks write:

  leoflow run examples/timezones.yaml

Keep what became of it, one task at a time:

  leoflow run --data-dir history --parallel 1 examples/timezones.yaml

Run it on a control plane that leoflow serve serves, which may be restarted meanwhile; the token must outlive the run:

  leoflow run --server 127.0.0.1:7400 --token-file token examples/timezones.yaml

Go on with a run whose command was killed, on whatever was not done yet; tasks that have an outcome keep it, and leoflow retry has one of them tried again:

  leoflow run --server 127.0.0.1:7400 --token-file token --resume manual__2026-01-31T08:00:00Z examples/timezones.yaml

Give the tasks secrets. Other users of this machine see the command line, so read a value from a file with @ (@@ is a plain @); one line end at the end of it is left out:

  leoflow run --var region=eu --connection warehouse=@warehouse.uri load.yaml

Read what happens by a program. The events are run_started, task, retry_delay, log, notice and run_ended; their fields have the names and words of the protos:

  leoflow run --json examples/timezones.yaml | jq -r 'select(.event == "task" and .state == "TASK_STATE_FAILED") | .task_id'

The exit code is 0 when every task succeeded or was skipped, 1 when one did not, 2 when the file or a flag is wrong and nothing ran, 130 after Ctrl-C. Ctrl-C cancels the run and waits for its tasks to end; a second one kills them.`
}

// Run runs the pipeline.
func (c *runCmd) Run(con *console) error {
	p, err := file.Load(c.Pipeline)
	if err != nil {
		return err
	}
	secrets, err := c.secrets()
	if err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return badInput{err}
	}
	agent, err := agentCommand(c.Agent)
	if err != nil {
		return badInput{err}
	}
	signals := catchSignals()
	defer signals.release()
	result, err := c.run(signals.ctx, con, p, secrets, agent, signals.hurry)
	switch {
	case signals.caught() != 0:
		if err != nil {
			tell(con.err, err)
		}
		return exitCode(128 + signals.caught())
	case err != nil:
		return err
	case !result.Succeeded():
		return exitCode(exitFailed)
	}
	return nil
}

// check refuses flags that do not go together.
func (c *runCmd) check() error {
	switch {
	case c.Parallel < 0:
		return fmt.Errorf("--parallel is %d: give 1 or more, or 0 for the number of CPUs", c.Parallel)
	case c.Server != "" && c.DataDir != "":
		return errors.New("--server and --data-dir are both given: a control plane elsewhere keeps its own data; leave one out")
	case c.Tenant == "":
		return errors.New("--tenant is empty: give a name, or leave it out")
	case c.Resume != "" && c.RunID != "":
		return errors.New("--resume and --run-id are both given: a run that is resumed keeps its id; leave --run-id out")
	case c.Resume != "" && c.Server == "" && c.DataDir == "":
		return errors.New("--resume needs a run that was kept: say where, by --server or --data-dir")
	}
	return nil
}

// run runs the pipeline on its control plane, and removes what is temporary.
func (c *runCmd) run(ctx context.Context, con *console, p *file.Pipeline, secrets secretFlags, agent []string, hurry <-chan struct{}) (_ pipeline.Result, err error) {
	temp, err := os.MkdirTemp("", "leoflow-run-")
	if err != nil {
		return pipeline.Result{}, fmt.Errorf("no place for temporary files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	v, err := c.venue(ctx, temp, con)
	if err != nil {
		return pipeline.Result{}, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if err := secrets.put(v); err != nil {
		return pipeline.Result{}, v.inWords(err)
	}
	result, err := pipeline.Run(v.ctx, pipeline.Options{
		Pipeline: p, Client: v.client, Launcher: v.launcher(agent, p.Dir, temp),
		RunID: cmp.Or(c.Resume, c.RunID), Parallel: c.Parallel, Hurry: hurry,
		// A control plane that has just begun in this process is known to no earlier agent.
		Resume: c.Resume != "", Orphaned: c.Resume != "" && c.Server == "",
		Out: con.out, JSON: c.JSON, Color: !c.NoColor && pipeline.UseColor(con.out, os.Getenv),
		// The log of the control plane would be written across the live line.
		Live:  !c.Verbose && pipeline.IsTerminal(con.out, os.Getenv),
		Width: func() int { return pipeline.Width(con.out) },
	})
	return result, v.inWords(err)
}

// venue is a control plane elsewhere where one is named, else one in this process.
func (c *runCmd) venue(ctx context.Context, temp string, con *console) (*venue, error) {
	if c.Server == "" {
		return host(ctx, planeConfig{tenant: c.Tenant, dataDir: c.DataDir, temp: temp, logger: c.logger(con.err)})
	}
	return visit(ctx, &remoteFlags{Server: c.Server, accessFlags: c.accessFlags}, con.err)
}

func (c *runCmd) logger(w io.Writer) *slog.Logger {
	if !c.Verbose {
		return slog.New(slog.DiscardHandler)
	}
	return newLogger(w, slog.LevelDebug, "text")
}
