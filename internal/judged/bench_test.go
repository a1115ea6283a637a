package judged

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
	"github.com/neochaotic/leoflow/internal/localca"
	"github.com/neochaotic/leoflow/internal/testbed"
)

// slowly is for a machine that runs other tests at the same time.
const slowly = 3

// bench puts a server of ours on a bench until the test has ended.
func bench(t *testing.T, confidential bool) conformance.Server {
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
