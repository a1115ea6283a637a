package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/neochaotic/leoflow/internal/agent"
)

type agentCmd struct {
	TempDir string `hidden:"" env:"LEOFLOW_AGENT_TEMP_DIR" placeholder:"DIR" help:"Where the attempt's private directory is made."`
}

// Run runs one attempt. Its exit code is for a person: what counts is what it reports.
func (c *agentCmd) Run(*console) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cfg, err := agent.ConfigFromEnv(os.Getenv)
	if err != nil {
		return badInput{err}
	}
	cfg.Version, cfg.TempDir = currentVersion(), c.TempDir
	if code := agent.Run(ctx, cfg); code != agent.ExitOK {
		return exitCode(code)
	}
	return nil
}
