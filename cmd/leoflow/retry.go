package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/terminal"
)

type retryCmd struct {
	runName
	Tasks  []string `arg:"" optional:"" name:"task" help:"The tasks."`
	Failed bool     `env:"LEOFLOW_RETRY_FAILED" help:"Every task of the run that failed, or was not launched because another had."`
	Force  bool     `env:"LEOFLOW_RETRY_FORCE" help:"Also tasks that are under way: their attempts end as superseded."`
	outputFlags
	remoteFlags
}

// Help teaches by example.
func (retryCmd) Help() string {
	return `Have every task that failed wait for another try, and what was given up because of it:

  leoflow retry timezones manual__2026-01-31T08:00:00Z --failed

Try one task again:

  leoflow retry timezones manual__2026-01-31T08:00:00Z extract

Below a task that is tried again, those that were settled without an attempt, as skipped or because of a failure, are opened again too: those that take values from it by this command, and those that the file orders by after alone by whoever drives the run, since only the file says so. Nothing is launched by this command: whoever drives the run launches what waits. That is the leoflow run --server that is under way, or, once it has ended, another:

  leoflow run --server 127.0.0.1:7400 --resume manual__2026-01-31T08:00:00Z examples/timezones.yaml

A task that is under way is left alone, and nothing is changed then, unless --force is given.

` + remoteHelp
}

// Run has tasks wait for another try.
func (c *retryCmd) Run(con *console) error {
	if (len(c.Tasks) > 0) == c.Failed {
		return badInput{errors.New("retry needs tasks to try again: give the names of tasks, or --failed, and not both")}
	}
	return c.call(c.String(), func(ctx context.Context, r *remote) error {
		tasks, _, err := readPages(0, func(size int32, token string) ([]*controlv1.Task, string, error) {
			resp, err := r.ListTasks(ctx, &controlv1.ListTasksRequest{DagId: c.Dag, RunId: c.ID, PageSize: size, PageToken: token})
			return resp.GetTasks(), resp.GetNextPageToken(), err
		})
		if err != nil {
			return err
		}
		chosen, err := c.choose(tasks)
		if err != nil {
			return err
		}
		if len(chosen) == 0 {
			fmt.Fprintf(con.err, "leoflow: no task of %v failed\n", terminal.Visible(c.String()))
		}
		done, err := c.retry(ctx, r, withThoseBelow(tasks, chosen))
		// What was done is told, also where the next one went wrong.
		return errors.Join(printEntries(c.outputFlags, con, done, func() terminal.Table { return retriedTable(done) }), err)
	})
}

// choose returns the tasks to try again, none of them under way unless forced.
func (c *retryCmd) choose(tasks []*controlv1.Task) ([]*controlv1.Task, error) {
	var chosen []*controlv1.Task
	for _, t := range tasks {
		if c.asked(t) {
			chosen = append(chosen, t)
		}
	}
	for _, id := range c.Tasks {
		if !slices.ContainsFunc(chosen, func(t *controlv1.Task) bool { return t.GetTaskId() == id }) {
			return nil, fmt.Errorf("not found: %v; see leoflow tasks", taskName{c.runName, id})
		}
	}
	for _, t := range chosen {
		if live(t) && !c.Force {
			return nil, fmt.Errorf("%v is %s, in its try %d: cancel it, or give --force to have another take its place",
				taskName{c.runName, t.GetTaskId()}, word(t.GetState(), "TASK_STATE_"), t.GetTryNumber())
		}
	}
	return chosen, nil
}

// asked reports whether the command line asks for the task itself.
func (c *retryCmd) asked(t *controlv1.Task) bool {
	return c.Failed && failed(t) || slices.Contains(c.Tasks, t.GetTaskId())
}

func failed(t *controlv1.Task) bool {
	return t.GetState() == policyv1.TaskState_TASK_STATE_FAILED || t.GetState() == policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED
}

func live(t *controlv1.Task) bool {
	return t.GetState() == policyv1.TaskState_TASK_STATE_QUEUED || t.GetState() == policyv1.TaskState_TASK_STATE_RUNNING
}

// settledUntried reports whether a task was settled without an attempt.
func settledUntried(t *controlv1.Task) bool {
	return t.GetTryNumber() == 0 &&
		(t.GetState() == policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED || t.GetState() == policyv1.TaskState_TASK_STATE_SKIPPED)
}

// withThoseBelow returns the chosen tasks and those that were settled without an attempt
// and take values from them, also by way of others of them. What a task takes values
// from comes before it: whoever drives the run never sees a task that is opened again
// below one that is not.
func withThoseBelow(tasks, chosen []*controlv1.Task) []*controlv1.Task {
	takers := map[string][]*controlv1.Task{}
	for _, t := range tasks {
		for _, from := range t.GetUpstreamTaskIds() {
			takers[from] = append(takers[from], t)
		}
	}
	isChosen, seen := map[string]bool{}, map[string]bool{}
	for _, t := range chosen {
		isChosen[t.GetTaskId()] = true
	}
	var out []*controlv1.Task // what is below comes first
	var visit func(t *controlv1.Task)
	visit = func(t *controlv1.Task) {
		if seen[t.GetTaskId()] {
			return
		}
		seen[t.GetTaskId()] = true
		for _, taker := range takers[t.GetTaskId()] {
			if isChosen[taker.GetTaskId()] || settledUntried(taker) {
				visit(taker)
			}
		}
		out = append(out, t)
	}
	for _, t := range slices.Backward(chosen) {
		visit(t)
	}
	slices.Reverse(out)
	return out
}

// retried is what came of one task.
type retried struct {
	TaskID        string `json:"task_id"`
	State         string `json:"state"` // before
	Changed       bool   `json:"changed"`
	Reopened      bool   `json:"reopened"`        // it was not asked for by name
	NextTryNumber int32  `json:"next_try_number"` // 0: it has moved on meanwhile
}

// retry has the tasks wait for another try, in their order; it ends at the first that is
// refused, and returns what came of those before.
func (c *retryCmd) retry(ctx context.Context, r *remote, tasks []*controlv1.Task) ([]retried, error) {
	var done []retried
	for _, t := range tasks {
		resp, err := r.RetryTask(ctx, &controlv1.RetryTaskRequest{
			DagId: c.Dag, RunId: c.ID, TaskId: t.GetTaskId(), TryNumber: t.GetTryNumber(),
		})
		// Whoever drives the run opens it again too, and may have launched it already.
		if moved := settledUntried(t) && len(done) > 0 && status.Code(err) == codes.FailedPrecondition; err != nil && !moved {
			subject := taskName{c.runName, t.GetTaskId()}.String()
			return done, fmt.Errorf("%s: %w", subject, r.inWords(err, subject))
		}
		done = append(done, retried{
			TaskID: t.GetTaskId(), State: t.GetState().String(), Changed: resp.GetChanged(),
			Reopened: !c.asked(t), NextTryNumber: resp.GetNextTryNumber(),
		})
	}
	return done, nil
}

func retriedTable(done []retried) terminal.Table {
	t := terminal.Table{{"TASK", "WAS", "NEXT TRY", "RESULT"}}
	for _, d := range done {
		result := "waits for its next try"
		switch {
		case d.NextTryNumber == 0:
			result = "has moved on meanwhile"
		case !d.Changed:
			result = "waited for it before"
		case d.Reopened:
			result = "opened again, below a task that is tried again"
		}
		state := policyv1.TaskState(policyv1.TaskState_value[d.State])
		t = append(t, []string{d.TaskID, word(state, "TASK_STATE_"), strconv.Itoa(int(d.NextTryNumber)), result})
	}
	return t
}
