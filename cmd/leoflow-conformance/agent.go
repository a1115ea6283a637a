package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// callWithin bounds the first launch of an agent, before the scale.
const callWithin = 30 * time.Second

type agentCmd struct {
	Command []string            `arg:"" name:"command" help:"The agent and its arguments, after --."`
	Without []string            `placeholder:"ABILITY" help:"An optional ability that the agent lacks: ${lacking}; its rules are skipped. May be given again."`
	Full    bool                `help:"Also what takes minutes: a restart of 60 s, as A-NET-1 says, and not of 40 s, and servers that hang."`
	judging `set:"parallel=16"` // agentsuite.Parallel: they wait far more than they work
}

// Help teaches by example.
func (agentCmd) Help() string {
	return `Judge an agent: any program that is launched with LEOFLOW_CONTROL_PLANE_ADDR and the other
variables of the protocol. It runs in this directory, many times at once:

  leoflow-conformance agent -- ./my-agent
  leoflow-conformance agent -- python3 agent.py --verbose

Only what is said of heartbeats, on a machine that is slow:

  leoflow-conformance agent --rule A-BEAT --time-scale 3 -- ./my-agent

In CI, with what it shows and gathers:

  leoflow-conformance agent --junit results.xml --html results.html -- ./my-agent

It takes less than a minute, most of it the time that a server which is restarted is down. The
tasks are scripts for bash.

The exit code is 0 when all is well, 1 when a check failed or nothing passed, 2 for bad usage,
3 when the command cannot be run or calls nobody, 4 when the suite itself failed, or a report could
not be written.`
}

// Run judges an agent.
func (c *agentCmd) Run(con *console) error {
	o, err := c.options(con.rules, catalogue.Agent)
	if err != nil {
		return err
	}
	for _, ability := range c.Without {
		if _, err := choice("--without", ability, agentsuite.Optional()); err != nil {
			return badUsage{err}
		}
	}
	target, err := agentsuite.NewTarget(c.Command...)
	if err != nil {
		return unreachable{err}
	}
	for _, ability := range c.Without {
		target.Lacks = append(target.Lacks, strings.ToLower(ability))
	}
	target.Full = c.Full
	c.system = strings.Join(c.Command, " ")
	err = target.Probe(context.Background(), con.rules, time.Duration(float64(callWithin)*max(c.TimeScale, 1)))
	switch {
	case errors.Is(err, agentsuite.ErrUnreachable):
		return unreachable{err}
	case err != nil:
		return fmt.Errorf("the first launch: %w", err)
	}
	return c.run(con, o, agentsuite.Checks(target))
}
