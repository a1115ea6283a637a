package mutants

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/neochaotic/leoflow/conformance/suite"
)

func newBench(t *testing.T, confidential bool) *Bench {
	t.Helper()
	b, err := NewBench(t.Context(), confidential)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
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

// judge judges the server with its fixtures, by what a connection leads to.
func (b *Bench) judge(t *testing.T, conn grpc.ClientConnInterface, o suite.Options) *suite.Results {
	t.Helper()
	results, err := judge(t.Context(), conn, b.confidential, b.fixture, o)
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
