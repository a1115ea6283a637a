package mutants

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/serversuite"
	"github.com/neochaotic/leoflow/conformance/suite"
	"github.com/neochaotic/leoflow/internal/localca"
	"github.com/neochaotic/leoflow/internal/testbed"
)

// bench is a server of ours on the bench, with connections to it.
type bench struct {
	bed           *testbed.Bed
	conn, fixture *grpc.ClientConn
	confidential  bool
}

func newBench(t *testing.T, confidential bool) *bench {
	t.Helper()
	cfg := testbed.Config{DataDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	creds := insecure.NewCredentials()
	if confidential {
		ca, err := localca.New()
		if err != nil {
			t.Fatal(err)
		}
		cfg.TLS = ca.ServerTLS()
		creds = credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
	}
	bed, err := testbed.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- bed.Serve(ctx) }()
	b := &bench{bed: bed, confidential: confidential}
	b.conn = dial(t, bed.Addr(), creds)
	b.fixture = dial(t, bed.FixturesAddr(), insecure.NewCredentials())
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return b
}

func dial(t *testing.T, addr string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// judge runs the checks of servers against what a connection leads to.
func (b *bench) judge(t *testing.T, conn grpc.ClientConnInterface, o suite.Options) *suite.Results {
	t.Helper()
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	target, err := serversuite.NewTarget(t.Context(), conn, b.confidential, conformancev1.NewFixtureServiceClient(b.fixture))
	if err != nil {
		t.Fatal(err)
	}
	o.Rules, o.Side = rules, catalogue.Server
	if o.Parallel == 0 {
		o.Parallel = 16
	}
	results, err := suite.Run(t.Context(), serversuite.Checks(target), o)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// tell logs whatever did not pass.
func tell(t *testing.T, r *suite.Results, statuses ...suite.Status) {
	t.Helper()
	for _, c := range r.Checks {
		for _, s := range statuses {
			if c.Status == s {
				t.Errorf("%s: %s: %s", c.Check, c.Status, c.Reason)
			}
		}
	}
}

func TestOurServerPassesEveryCheck(t *testing.T) {
	b := newBench(t, true)
	r := b.judge(t, b.conn, suite.Options{Seed: 1, TimeScale: 3})
	tell(t, r, suite.Failed, suite.Broken, suite.Skipped)
	for _, c := range r.Checks {
		if c.Status == suite.Untestable && c.Rule != "SECRET-1" { // which takes plaintext
			t.Errorf("%s: %s: %s", c.Check, c.Status, c.Reason)
		}
	}
	t.Logf("%d checks of %d rules, %d cells, in %v", len(r.Checks), r.Rules(), r.Cells(), r.Took)
}

func TestOurServerPassesWhatTakesPlaintext(t *testing.T) {
	b := newBench(t, false)
	r := b.judge(t, b.conn, suite.Options{Seed: 1, TimeScale: 3, Only: []string{"SECRET"}})
	tell(t, r, suite.Failed, suite.Broken, suite.Skipped)
	for _, c := range r.Checks {
		if want := map[bool]suite.Status{true: suite.Passed, false: suite.Untestable}[c.Rule == "SECRET-1"]; c.Status != want {
			t.Errorf("%s: %s, not %s: %s", c.Check, c.Status, want, c.Reason)
		}
	}
}
