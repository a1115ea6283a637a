package main

import "github.com/neochaotic/leoflow/internal/agent"

type agentCmd struct {
	TempDir string `hidden:"" env:"LEOFLOW_AGENT_TEMP_DIR" placeholder:"DIR" help:"Where the attempt's private directory is made."`
}

// Run runs one attempt. Its exit code is for a person: what counts is what it reports.
func (c *agentCmd) Run(*console) error {
	code, err := agent.Standalone(currentVersion(), c.TempDir)
	switch {
	case err != nil:
		return badInput{err}
	case code != agent.ExitOK:
		return exitCode(code)
	}
	return nil
}
