package mutants

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/serversuite"
	"github.com/neochaotic/leoflow/conformance/suite"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/localca"
	"github.com/neochaotic/leoflow/internal/testbed"
)

// parallel is how many checks run at once, if nothing else is said.
const parallel = 16

// memory is where Linux keeps files in memory. What a server on the bench stores is there,
// if it can be: no check cuts the power, and the disk is most of what they wait for.
const memory = "/dev/shm"

// Bench is a server of ours, before which mutants are put.
type Bench struct {
	conn, fixture *grpc.ClientConn
	confidential  bool
	closing       []func() error
}

// NewBench starts a server of ours, in a process of its own that can be killed, that speaks
// TLS, if the channel is to be confidential, or else plaintext. It serves until it is
// closed. The program must have called [testbed.MaybeChild] first of all.
func NewBench(ctx context.Context, confidential bool) (_ *Bench, err error) {
	b := &Bench{confidential: confidential}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	dir, err := os.MkdirTemp(memory, "leoflow-mutants-")
	if err != nil {
		dir, err = os.MkdirTemp("", "leoflow-mutants-")
	}
	if err != nil {
		return nil, err
	}
	b.closing = append(b.closing, func() error { return os.RemoveAll(dir) })
	cfg := testbed.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler), Stderr: io.Discard}
	creds := insecure.NewCredentials()
	if confidential {
		ca, err := localca.New()
		if err != nil {
			return nil, err
		}
		cfg.TLS = ca.ServerTLS()
		creds = credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
	}
	bed, err := testbed.NewSupervisor(ctx, cfg)
	if err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- bed.Serve(serving) }()
	b.closing = append(b.closing, func() error { stop(); return <-served })
	if b.conn, err = b.dial(bed.Addr(), creds); err != nil {
		return nil, err
	}
	b.fixture, err = b.dial(bed.FixturesAddr(), insecure.NewCredentials())
	return b, err
}

func (b *Bench) dial(addr string, creds credentials.TransportCredentials) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err == nil {
		b.closing = append(b.closing, conn.Close)
	}
	return conn, err
}

// Close stops the server and removes what it left.
func (b *Bench) Close() error {
	var errs []error
	for i := len(b.closing) - 1; i >= 0; i-- {
		errs = append(errs, b.closing[i]())
	}
	b.closing = nil
	return errors.Join(errs...)
}

// Judge judges the server itself, without a mutant before it.
func (b *Bench) Judge(ctx context.Context, o suite.Options) (*suite.Results, error) {
	return judge(ctx, b.conn, b.confidential, b.fixture, o)
}

// JudgeMutant judges the server with a mutant before it.
func (b *Bench) JudgeMutant(ctx context.Context, m Mutant, o suite.Options) (*suite.Results, error) {
	addr, stop, err := m.Serve(ctx, b.conn, b.fixture)
	if err != nil {
		return nil, err
	}
	defer stop()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	results, err := judge(ctx, conn, !m.Plaintext, conn, o)
	return results, errors.Join(err, conn.Close())
}

// judge runs the checks of servers against what the connections lead to.
func judge(ctx context.Context, conn grpc.ClientConnInterface, confidential bool, fixture grpc.ClientConnInterface, o suite.Options) (*suite.Results, error) {
	rules, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	target, err := serversuite.NewTarget(ctx, conn, confidential, conformancev1.NewFixtureServiceClient(fixture))
	if err != nil {
		return nil, err
	}
	o.Rules, o.Side = rules, catalogue.Server
	if o.Parallel == 0 {
		o.Parallel = parallel
	}
	return suite.Run(ctx, serversuite.Checks(target), o)
}
