package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/fixtures"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// preparing is the flags that say who prepares what checks need. One of them is given.
type preparing struct {
	FixturesAddr string `required:"" xor:"fixtures" placeholder:"HOST:PORT" help:"Where its adapter serves FixtureService, in plaintext; this, --fixture-cmd or --fixtures-file."`
	FixtureCmd   string `required:"" xor:"fixtures" placeholder:"COMMAND" help:"Its adapter, as a command line for sh: it reads requests and writes replies, as lines of JSON."`
	FixturesFile string `required:"" xor:"fixtures" type:"path" placeholder:"FILE" help:"What was prepared beforehand, as leoflow-conformance prepare writes it: for one run, and fewer rules."`
}

// preparer prepares what checks need.
type preparer struct {
	conformancev1.FixtureServiceClient
	// close ends it.
	close func() error
	// fault is why it can serve no more; nil: it can.
	fault func() error
}

// open finds who prepares. One that starts the server as well has done so then.
func (p *preparing) open(ctx context.Context, con *console, scale float64) (*preparer, error) {
	healthy := func() error { return nil }
	switch {
	case p.FixturesFile != "": // read once the server is reached, which it is about
		return &preparer{nil, healthy, healthy}, nil
	case p.FixtureCmd != "":
		return startFixtures(ctx, p.FixtureCmd, con, time.Duration(float64(callWithin)*scale))
	}
	conn, err := reach(ctx, "--fixtures-addr", p.FixturesAddr, insecure.NewCredentials(), time.Duration(float64(reachWithin)*scale))
	if err != nil {
		return nil, err
	}
	return &preparer{conformancev1.NewFixtureServiceClient(conn), conn.Close, healthy}, nil
}

// read has the preparer hand out what a file says of the server that conn leads to.
func (p *preparing) read(into *preparer, conn grpc.ClientConnInterface) (err error) {
	if p.FixturesFile == "" {
		return nil
	}
	if into.FixtureServiceClient, err = fixtures.ReadStatic(p.FixturesFile, conn); err != nil {
		return badUsage{fmt.Errorf("--fixtures-file: %w", err)}
	}
	return nil
}

// startFixtures starts a command, and waits for its first answer.
func startFixtures(ctx context.Context, line string, con *console, within time.Duration) (*preparer, error) {
	command, err := fixtures.Start(line, fixtures.Options{Stderr: con.err})
	if err != nil {
		return nil, badUsage{fmt.Errorf("--fixture-cmd: %w", err)}
	}
	p := &preparer{command.Client(), command.Close, command.Err}
	first, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err = p.GetCapabilities(first, &conformancev1.GetCapabilitiesRequest{})
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		err = ended{exitFailed} // whoever ended it knows
	case status.Code(err) == codes.DeadlineExceeded:
		err = unreachable{fmt.Errorf("--fixture-cmd: no answer to GetCapabilities came within %v: read a line, write a line and flush it, or give more time with --time-scale", within)}
	default:
		err = p.wrong("--fixture-cmd", err)
	}
	_ = command.Close() // what is wrong is known
	return nil, err
}

// wrong is an error of the first call, with the exit code that it means.
func (p *preparer) wrong(flag string, err error) error {
	switch fault := p.fault(); {
	case errors.Is(fault, fixtures.ErrEnded):
		return unreachable{fmt.Errorf("%s: %w", flag, fault)}
	case fault != nil:
		return fmt.Errorf("%s: %w", flag, fault)
	case status.Code(err) == codes.Unimplemented:
		return badUsage{fmt.Errorf("%s: FixtureService is not served there, or GetCapabilities is missing: give the adapter of the server", flag)}
	}
	return unreachable{fmt.Errorf("%s: %w", flag, err)}
}

// flag is the one that was given.
func (p *preparing) flag() string {
	switch {
	case p.FixtureCmd != "":
		return "--fixture-cmd"
	case p.FixturesFile != "":
		return "--fixtures-file"
	}
	return "--fixtures-addr " + p.FixturesAddr
}

// whileServing are the checks, none of which begins once nobody prepares any more.
func (p *preparer) whileServing(checks []suite.Check) []suite.Check {
	for i, c := range checks {
		checks[i].Run = func(t *suite.T) {
			if p.fault() != nil {
				t.Untestable("the fixtures had failed before")
			}
			c.Run(t)
		}
	}
	return checks
}
