package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/serversuite"
)

// reachWithin bounds the first look for a server, before the scale.
const reachWithin = 10 * time.Second

type serverCmd struct {
	Addr string `required:"" placeholder:"HOST:PORT" help:"Where the control plane listens."`
	preparing
	TLS     bool   `name:"tls" help:"Speak TLS to the control plane, and trust whom this machine trusts."`
	TLSCA   string `name:"tls-ca" placeholder:"FILE" help:"Speak TLS, and trust the certificates in this file, as PEM."`
	judging `set:"parallel=8"`
}

// Help teaches by example.
func (serverCmd) Help() string {
	return `Judge a control plane that serves FixtureService beside it:

  leoflow-conformance server --addr 127.0.0.1:7400 --fixtures-addr 127.0.0.1:7401

One whose adapter is a program that reads and writes lines of JSON; it may start the server, too:

  leoflow-conformance server --addr 127.0.0.1:7400 --fixture-cmd 'python3 adapter.py --verbose'

One to which no adapter can be added, with attempts that were prepared beforehand:

  leoflow-conformance server --addr 127.0.0.1:7400 --fixtures-file fixtures.json

Only what is said of heartbeats, a hundred times, in orders of one seed:

  leoflow-conformance server --addr … --fixtures-addr … --rule BEAT --repeat 100 --seed 7

The exit code is 0 when all is well, 1 when a check failed or nothing passed, 2 for bad usage,
3 when the server or its fixtures cannot be reached, 4 when the suite itself or the adapter failed.`
}

// Run judges a control plane.
func (c *serverCmd) Run(con *console) error {
	o, err := c.options(con.rules, catalogue.Server)
	if err != nil {
		return err
	}
	if c.FixturesFile != "" && c.Repeat > 1 {
		return badUsage{errors.New("--repeat: a file of fixtures serves one run; leave --repeat out, or use an adapter")}
	}
	creds, confidential, err := c.credentials()
	if err != nil {
		return badUsage{err}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal ends the process
	fixtures, err := c.open(ctx, con, c.TimeScale)
	if err != nil {
		return err
	}
	defer fixtures.close() //nolint:errcheck // what was wrong with it is told
	within := time.Duration(float64(reachWithin) * c.TimeScale)
	conn, err := reach(ctx, "--addr", c.Addr, creds, within)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // all calls are over
	if err := c.read(fixtures, conn); err != nil {
		return err
	}
	first, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	target, err := serversuite.NewTarget(first, conn, confidential, fixtures)
	switch {
	case err != nil && ctx.Err() != nil:
		return ended{exitFailed} // whoever ended it knows
	case err != nil:
		return fixtures.wrong(c.flag(), err)
	}
	c.system = cmp.Or(target.Capabilities.GetServer(), c.Addr)
	err = c.run(con, o, fixtures.whileServing(serversuite.Checks(target)))
	if fault := fixtures.fault(); fault != nil {
		return fmt.Errorf("%s: %w", c.flag(), fault)
	}
	return err
}

// credentials are those of the channel to the control plane.
func (c *serverCmd) credentials() (creds credentials.TransportCredentials, confidential bool, err error) {
	if !c.TLS && c.TLSCA == "" {
		return insecure.NewCredentials(), false, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return nil, false, fmt.Errorf("--tls-ca: %w; give a file of certificates, as PEM", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, false, fmt.Errorf("--tls-ca: %s holds no certificate; give a file of certificates, as PEM", c.TLSCA)
		}
	}
	return credentials.NewTLS(cfg), true, nil
}

// unreachable marks an error as one of a system that does not answer.
type unreachable struct{ error }

// reach connects, so that a wrong address is told before any check fails of it.
func reach(ctx context.Context, flag, addr string, creds credentials.TransportCredentials, within time.Duration) (*grpc.ClientConn, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, badUsage{fmt.Errorf("%s %q: %w; write it as host:port, such as 127.0.0.1:7400", flag, addr, err)}
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, badUsage{fmt.Errorf("%s %q: %w", flag, addr, err)}
	}
	until, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		switch {
		case state == connectivity.TransientFailure:
			err = unreachable{fmt.Errorf("%s %s: nothing that speaks gRPC over this channel answers there: %s: %s", flag, addr, reasonOf(until, conn), remedyOfChannel)}
		case conn.WaitForStateChange(until, state):
			continue
		case ctx.Err() != nil:
			err = ended{exitFailed} // whoever ended it knows
		default:
			err = unreachable{fmt.Errorf("%s %s: nothing that speaks gRPC over this channel answers there within %v: %s", flag, addr, within, remedyOfChannel)}
		}
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// reasonOf is why a connection failed: any call is told.
func reasonOf(ctx context.Context, conn *grpc.ClientConn) string {
	_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	reason := strings.TrimPrefix(status.Convert(err).Message(), "connection error: desc = ")
	if text, err := strconv.Unquote(reason); err == nil {
		return text
	}
	return reason
}

const remedyOfChannel = "start the server, or give its address, and --tls-ca if it speaks TLS"
