package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

type tasksCmd struct {
	runName
	listFlags
	remoteFlags
}

// Help teaches by example.
func (tasksCmd) Help() string {
	return `List the tasks of a run, and the state of each:

  leoflow tasks timezones manual__2026-01-31T08:00:00Z

` + remoteHelp
}

// Run lists tasks.
func (c *tasksCmd) Run(con *console) error {
	return listing[*controlv1.Task]{
		what: c.String(),
		page: func(ctx context.Context, r *remote, size int32, token string) ([]*controlv1.Task, string, error) {
			resp, err := r.ListTasks(ctx, &controlv1.ListTasksRequest{DagId: c.Dag, RunId: c.ID, PageSize: size, PageToken: token})
			return resp.GetTasks(), resp.GetNextPageToken(), err
		},
		head: []string{"TASK", "STATE", "TRY", "OPERATOR", "UPSTREAM"},
		row: func(task *controlv1.Task) []string {
			return []string{
				task.GetTaskId(), word(task.GetState(), "TASK_STATE_"), try(task.GetTryNumber()),
				task.GetOperator(), orDash(strings.Join(task.GetUpstreamTaskIds(), ", ")),
			}
		},
	}.print(con, &c.listFlags, &c.remoteFlags)
}

// try is the number of a try; "-": there was none.
func try(number int32) string {
	if number == 0 {
		return "-"
	}
	return strconv.Itoa(int(number))
}

type attemptsCmd struct {
	taskName
	listFlags
	remoteFlags
}

// Help teaches by example.
func (attemptsCmd) Help() string {
	return `List the tries of a task, the newest first, and why each ended:

  leoflow attempts timezones manual__2026-01-31T08:00:00Z extract

` + remoteHelp
}

// Run lists attempts.
func (c *attemptsCmd) Run(con *console) error {
	return listing[*controlv1.Attempt]{
		what: c.String(),
		page: func(ctx context.Context, r *remote, size int32, token string) ([]*controlv1.Attempt, string, error) {
			resp, err := r.ListAttempts(ctx, &controlv1.ListAttemptsRequest{DagId: c.Dag, RunId: c.ID, TaskId: c.Task, PageSize: size, PageToken: token})
			return resp.GetAttempts(), resp.GetNextPageToken(), err
		},
		head: []string{"TRY", "STATE", "QUEUED", "DURATION", "HOST", "CAUSE"},
		row: func(a *controlv1.Attempt) []string {
			return []string{
				try(a.GetTryNumber()), word(a.GetState(), "TASK_STATE_"), instant(a.GetQueuedAt()),
				duration(a), orDash(a.GetHostname()), cause(a),
			}
		},
	}.print(con, &c.listFlags, &c.remoteFlags)
}

// duration is how long an attempt ran; "-": it has not ended, or never started.
func duration(a *controlv1.Attempt) string {
	if a.GetStartedAt() == nil || a.GetEndedAt() == nil {
		return "-"
	}
	return max(0, a.GetEndedAt().AsTime().Sub(a.GetStartedAt().AsTime())).Round(10 * time.Millisecond).String()
}

// cause says why an attempt did not succeed, or that it is asked to stop.
func cause(a *controlv1.Attempt) string {
	if a.GetEndedAt() == nil && a.GetStopBy() != nil {
		return "asked to stop by " + instant(a.GetStopBy())
	}
	var out string
	if a.GetCause() != controlv1.Cause_CAUSE_UNSPECIFIED {
		out = word(a.GetCause(), "CAUSE_")
	}
	if code := a.GetExitCode(); code != 0 {
		out = strings.TrimSpace(fmt.Sprintf("%s (code %d)", out, code))
	}
	message, _, more := strings.Cut(strings.TrimSpace(a.GetMessage()), "\n")
	if more {
		message += " …"
	}
	if out != "" && message != "" {
		out += ": "
	}
	return out + message
}
