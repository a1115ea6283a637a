package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/serversuite"
)

type prepareCmd struct {
	File         string `arg:"" type:"path" help:"The file to write. It holds tokens: nobody else may read it."`
	FixturesAddr string `required:"" placeholder:"HOST:PORT" help:"Where an adapter serves FixtureService, in plaintext."`
	Groups       int    `default:"720" placeholder:"N" help:"How many checks the file is to serve, by default ${default}; those that find nothing left are untestable."`
}

// Help says what for.
func (prepareCmd) Help() string {
	return `Prepare runs and attempts at one time, for a server to be judged at another:

  leoflow-conformance prepare --fixtures-addr 127.0.0.1:7401 fixtures.json
  leoflow-conformance server --addr 127.0.0.1:7400 --fixtures-file fixtures.json

Attempts are used up by the checks, so that a file serves one run.`
}

// Run prepares, and writes the file.
func (c *prepareCmd) Run(con *console) error {
	if c.Groups < 1 {
		return badUsage{errors.New("--groups is 0 or less: give one for each check")}
	}
	file, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return badUsage{fmt.Errorf("the file cannot be made: %w; give one that is not there yet, in a directory that is", err)}
	}
	groups, err := c.fill(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(c.File))
	}
	return con.write(fmt.Sprintf("%d groups of runs, each for one check, are in %s\n", groups, c.File))
}

// fill prepares, and writes what was made.
func (c *prepareCmd) fill(file io.Writer) (groups int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	conn, err := reach(ctx, "--fixtures-addr", c.FixturesAddr, insecure.NewCredentials(), reachWithin)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // all calls are over
	name := time.Now().UTC().Format("20060102t150405")
	made, err := serversuite.PrepareStatic(ctx, conformancev1.NewFixtureServiceClient(conn), name, c.Groups)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, ended{exitFailed} // whoever ended it knows
	case err != nil:
		return 0, unreachable{fmt.Errorf("--fixtures-addr %s: %w", c.FixturesAddr, err)}
	}
	data, err := protojson.Marshal(made)
	if err != nil {
		return 0, err
	}
	if _, err := file.Write(data); err != nil {
		return 0, fmt.Errorf("the file cannot be written: %w", err)
	}
	return len(made.GetGroups()), nil
}
