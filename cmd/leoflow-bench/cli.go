package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes.
const (
	exitOK       = 0
	exitFailed   = 1
	exitBadUsage = 2
)

type cli struct {
	Load    loadCmd    `cmd:"" help:"Put load on a server that is there."`
	Beats   beatsCmd   `cmd:"" help:"Simulate many live attempts that beat, and see that none is lost."`
	Check   checkCmd   `cmd:"" help:"Hold our servers to bounds of how they compare with bare gRPC."`
	Growth  growthCmd  `cmd:"" help:"Measure what calls cost against growing work."`
	Compare compareCmd `cmd:"" help:"Start servers side by side, and compare them with bare gRPC."`
	Streams streamsCmd `cmd:"" help:"Open many log streams, and tell what memory each takes."`
	Child   childCmd   `cmd:"" hidden:""`
}

// console is where a command writes to.
type console struct{ out, err io.Writer }

// untilAsked is a context that ends when the program is asked to end.
func untilAsked() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

// badUsage marks an error as one of the command line.
type badUsage struct{ error }

// run is the program: it returns the exit code.
func run(args []string, out, errOut io.Writer) int {
	var flags cli
	helped := false
	parser, err := kong.New(&flags,
		kong.Name("leoflow-bench"),
		kong.Description("Load on a control plane, over the public wire, in a closed loop."),
		kong.Writers(out, errOut),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return report(errOut, err)
	}
	ctx, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return report(errOut, badUsage{fmt.Errorf("%w; see leoflow-bench --help", err)})
	}
	return report(errOut, ctx.Run(&console{out, errOut}))
}

func report(errOut io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(errOut, "leoflow-bench: %v\n", err)
	var bad badUsage
	if errors.As(err, &bad) {
		return exitBadUsage
	}
	return exitFailed
}
