package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/terminal"
)

type logsCmd struct {
	taskName
	Try    int    `default:"0" env:"LEOFLOW_LOGS_TRY" placeholder:"N" help:"The try, from 1; 0, the default, is the newest."`
	Follow bool   `short:"f" env:"LEOFLOW_LOGS_FOLLOW" help:"Go on until the attempt has ended and its log is complete."`
	Output string `short:"o" default:"table" enum:"table,json" env:"LEOFLOW_OUTPUT" placeholder:"FORM" help:"Form of the output: table, a line for people, or json, one object a line; by default ${default}."`
	remoteFlags
}

// Help teaches by example.
func (logsCmd) Help() string {
	return `Follow the log of the newest try of a task:

  leoflow logs -f timezones manual__2026-01-31T08:00:00Z extract

Read the log of its first try, with the time of each line:

  leoflow logs --try 1 -o json timezones manual__2026-01-31T08:00:00Z extract

A log that is followed is read on where it broke off when the server is back within a minute.

A line begins with where it is from: │ is the output, ┃ the error output, ┊ the agent, ╌ a remark that nobody printed, such as missing lines. Control characters are shown as escapes.

` + remoteHelp
}

// Run prints a log.
func (c *logsCmd) Run(con *console) error {
	if c.Try < 0 || c.Try > math.MaxInt32 {
		return badInput{fmt.Errorf("--try is %d: give 1 or more, or 0 for the newest", c.Try)}
	}
	subject := c.String()
	if c.Try > 0 {
		subject = fmt.Sprintf("try %d of %v", c.Try, c.taskName)
	}
	return c.call(subject, func(ctx context.Context, r *remote) error {
		number := int32(c.Try) //nolint:gosec // checked above
		if number == 0 || c.Follow {
			// A server that is not there is told at once; only one that was is waited for.
			newest, err := c.newest(ctx, r)
			if err != nil {
				return err
			}
			number = cmp.Or(number, newest)
		}
		position := int64(0)
		read := func() (more bool, err error) {
			before := position
			err = c.read(ctx, con, r, number, &position)
			return position > before, err
		}
		if !c.Follow {
			_, err := read()
			return err
		}
		return outlast(ctx, outage, read, func(err error) {
			fmt.Fprintf(con.err, "leoflow: %v; reading on once it is back\n", terminal.Visible(r.inWords(err, subject).Error()))
		})
	})
}

// newest returns the number of the newest try.
func (c *logsCmd) newest(ctx context.Context, r *remote) (int32, error) {
	resp, err := r.ListAttempts(ctx, &controlv1.ListAttemptsRequest{DagId: c.Dag, RunId: c.ID, TaskId: c.Task, PageSize: 1})
	if err != nil {
		return 0, err
	}
	if len(resp.GetAttempts()) == 0 {
		return 0, fmt.Errorf("%v has no log: it was not launched", c.taskName)
	}
	return resp.GetAttempts()[0].GetTryNumber(), nil
}

// read prints the log after position, and moves that on with what was printed.
func (c *logsCmd) read(ctx context.Context, con *console, r *remote, number int32, position *int64) error {
	ctx, cancel := context.WithCancel(ctx) // ends the stream when the output breaks
	defer cancel()
	stream, err := r.ReadLog(ctx, &controlv1.ReadLogRequest{
		DagId: c.Dag, RunId: c.ID, TaskId: c.Task, TryNumber: number, After: *position, Follow: c.Follow,
	})
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, record := range resp.GetRecords() {
			line := terminal.LineOf(record).String() + "\n"
			if c.Output == "json" {
				if line, err = jsonLine(record); err != nil {
					return err
				}
			}
			b.WriteString(line)
		}
		if err := writeOut(con.out, b.String()); err != nil {
			return err
		}
		*position = max(*position, resp.GetNext())
	}
}
