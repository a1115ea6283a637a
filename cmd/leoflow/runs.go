package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/terminal"
)

type runsCmd struct {
	List runsListCmd `cmd:"" help:"List runs, the newest first."`
	Show runsShowCmd `cmd:"" help:"Show one run."`
}

// runName are the arguments that name a run.
type runName struct {
	Dag string `arg:"" help:"The DAG: the pipeline's name."`
	ID  string `arg:"" name:"run" help:"The run."`
}

func (n runName) String() string { return fmt.Sprintf("run %q of %q", n.ID, n.Dag) }

// taskName are the arguments that name a task.
type taskName struct {
	runName
	Task string `arg:"" help:"The task."`
}

func (n taskName) String() string { return fmt.Sprintf("task %q of %v", n.Task, n.runName) }

type runsListCmd struct {
	Dag string `arg:"" optional:"" help:"Only runs of this DAG."`
	listFlags
	remoteFlags
}

// Help teaches by example.
func (runsListCmd) Help() string {
	return `List the last ten runs:

  leoflow runs list --limit 10

List every run of one pipeline, as JSON:

  leoflow runs list timezones -o json

` + remoteHelp
}

// Run lists runs.
func (c *runsListCmd) Run(con *console) error {
	return listing[*controlv1.Run]{
		what: "runs",
		page: func(ctx context.Context, r *remote, size int32, token string) ([]*controlv1.Run, string, error) {
			resp, err := r.ListRuns(ctx, &controlv1.ListRunsRequest{DagId: c.Dag, PageSize: size, PageToken: token})
			return resp.GetRuns(), resp.GetNextPageToken(), err
		},
		head: []string{"DAG", "RUN", "CREATED", "TASKS"},
		row: func(run *controlv1.Run) []string {
			return []string{run.GetDagId(), run.GetRunId(), instant(run.GetCreatedAt()), strings.Join(counts(run), ", ")}
		},
	}.print(con, &c.listFlags, &c.remoteFlags)
}

// counts tells how many tasks are in which state.
func counts(run *controlv1.Run) []string {
	var out []string
	for _, n := range run.GetTasks() {
		out = append(out, fmt.Sprintf("%d %s", n.GetCount(), word(n.GetState(), "TASK_STATE_")))
	}
	return out
}

type runsShowCmd struct {
	runName
	outputFlags
	remoteFlags
}

// Help teaches by example.
func (runsShowCmd) Help() string {
	return `Show a run, and how many of its tasks are in which state:

  leoflow runs show timezones manual__2026-01-31T08:00:00Z

` + remoteHelp
}

// Run shows a run.
func (c *runsShowCmd) Run(con *console) error {
	return c.call(c.String(), func(ctx context.Context, r *remote) error {
		resp, err := r.GetRun(ctx, &controlv1.GetRunRequest{DagId: c.Dag, RunId: c.ID})
		if err != nil {
			return err
		}
		run := resp.GetRun()
		return c.print(con, run, func() terminal.Table {
			return terminal.Table{
				{"DAG", "RUN", "VERSION", "CREATED", "REVISION", "TASKS"},
				{
					run.GetDagId(), run.GetRunId(), orDash(run.GetDagVersion()), instant(run.GetCreatedAt()),
					strconv.FormatInt(run.GetRevision(), 10), strings.Join(counts(run), ", "),
				},
			}
		})
	})
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
