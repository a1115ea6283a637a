// Command leoflow-agent runs one attempt of one task, as its environment says.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/neochaotic/leoflow/internal/agent"
)

var version = "dev" // set by the linker

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := agent.ConfigFromEnv(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "leoflow-agent:", err)
		return agent.ExitBadConfig
	}
	cfg.Version = version
	return agent.Run(ctx, cfg)
}
