package judged

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"os"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/internal/localca"
	"github.com/neochaotic/leoflow/internal/testbed"
)

// slowly is for a machine that runs other tests at the same time.
const slowly = 3

// memory is where Linux keeps files in memory: no check cuts the power, and the disk is
// most of what they wait for.
const memory = "/dev/shm"

// directory is for what a server stores, until the test has ended.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(memory, "leoflow-judged-") //nolint:usetesting // where that is, matters
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// bench puts a server of ours on a bench until the test has ended. It is in a process of
// its own, that can be killed. The database is the URL of one of PostgreSQL; empty: SQLite.
func bench(t *testing.T, confidential bool, database string) conformance.Server {
	t.Helper()
	cfg := testbed.Config{DataDir: directory(t), Database: database, Logger: slog.New(slog.DiscardHandler), Stderr: io.Discard}
	creds := insecure.NewCredentials()
	if confidential {
		ca, err := localca.New()
		if err != nil {
			t.Fatal(err)
		}
		cfg.TLS = ca.ServerTLS()
		creds = credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12})
	}
	bed, err := testbed.NewSupervisor(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- bed.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return conformance.Server{
		Conn: dial(t, bed.Addr(), creds), Confidential: confidential,
		Fixtures: conformancev1.NewFixtureServiceClient(dial(t, bed.FixturesAddr(), insecure.NewCredentials())),
	}
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
