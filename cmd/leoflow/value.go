package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mattn/go-isatty"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/terminal"
)

type valueCmd struct {
	taskName
	Key string `arg:"" optional:"" help:"Name of the value; by default the one that the task returned."`
	remoteFlags
}

// Help teaches by example.
func (valueCmd) Help() string {
	return `Write what a task handed on in its newest try, byte for byte, into a file:

  leoflow value timezones manual__2026-01-31T08:00:00Z extract > zones.json

A terminal is given plain text alone.

` + remoteHelp
}

// Run writes a value as it is.
func (c *valueCmd) Run(con *console) error {
	name := c.Key
	if name == "" {
		name = domain.DefaultXComKey
	}
	return c.call(fmt.Sprintf("value %q of %v", name, c.taskName), func(ctx context.Context, r *remote) error {
		resp, err := r.GetXCom(ctx, &controlv1.GetXComRequest{DagId: c.Dag, RunId: c.ID, TaskId: c.Task, Key: c.Key})
		if err != nil {
			return err
		}
		if isatty.IsTerminal(con.out.Fd()) && !plain(string(resp.GetValue())) {
			return errors.New("the value holds control characters: write it to a file with >, or through a pipe")
		}
		return writeOut(con.out, string(resp.GetValue()))
	})
}

// plain reports whether a terminal shows text and is not steered by it.
func plain(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if terminal.Visible(line) != line {
			return false
		}
	}
	return true
}
