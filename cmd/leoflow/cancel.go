package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// maxWithin is the longest that a cancelled task may be given, as the protos say.
const maxWithin = 24 * time.Hour

type cancelCmd struct {
	runName
	Task   string        `arg:"" optional:"" help:"Only this task."`
	Within time.Duration `default:"30s" env:"LEOFLOW_CANCEL_WITHIN" placeholder:"DURATION" help:"How long a task may take to stop, from 0s to 24h, by default ${default}."`
	outputFlags
	remoteFlags
}

// Help teaches by example.
func (cancelCmd) Help() string {
	return `Cancel a run: its tasks that run are asked to stop, those that were not launched are skipped:

  leoflow cancel timezones manual__2026-01-31T08:00:00Z

Cancel one task, which then has five minutes to stop:

  leoflow cancel timezones manual__2026-01-31T08:00:00Z extract --within 5m

A cancel is a wish: the agent learns of it on its next heartbeat, and a task that succeeds before it has succeeded.

` + remoteHelp
}

// Run cancels a run, or a task of it.
func (c *cancelCmd) Run(con *console) error {
	if c.Within < 0 || c.Within > maxWithin {
		return badInput{fmt.Errorf("--within is %v: give from 0s to 24h", c.Within)}
	}
	within := durationpb.New(c.Within)
	task := taskName{c.runName, c.Task}
	subject := c.String()
	if c.Task != "" {
		subject = task.String()
	}
	return c.call(subject, func(ctx context.Context, r *remote) error {
		var reply proto.Message
		var rows terminal.Table
		if c.Task != "" {
			resp, err := r.CancelTask(ctx, &controlv1.CancelTaskRequest{DagId: c.Dag, RunId: c.ID, TaskId: c.Task, StopWithin: within})
			if err != nil {
				return err
			}
			reply = resp
			rows = terminal.Table{{"TASK", "STATE", "STOP BY"}, {c.Task, word(resp.GetState(), "TASK_STATE_"), instant(resp.GetStopBy())}}
		} else {
			resp, err := r.CancelRun(ctx, &controlv1.CancelRunRequest{DagId: c.Dag, RunId: c.ID, StopWithin: within})
			if err != nil {
				return err
			}
			reply = resp
			rows = terminal.Table{{"RUN", "ASKED TO STOP", "SKIPPED"}, {c.ID, fmt.Sprint(resp.GetPending()), fmt.Sprint(resp.GetSkipped())}}
		}
		return c.print(con, reply, func() terminal.Table { return rows })
	})
}
