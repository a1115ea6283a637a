package mutants

import (
	"fmt"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/serversuite"
	"github.com/neochaotic/leoflow/conformance/suite"
)

func checks() []suite.Check {
	return serversuite.Checks(&serversuite.Target{Capabilities: &conformancev1.GetCapabilitiesResponse{}})
}

// oneOfEachRule are the ids of one check of each rule.
func oneOfEachRule() []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range checks() {
		if !seen[c.Rule] {
			seen[c.Rule], out = true, append(out, c.ID)
		}
	}
	return out
}

// oneOfEachCell are the ids of one check of each rule and RPC.
func oneOfEachCell() []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range checks() {
		if cell := fmt.Sprint(c.Rule, c.RPCs); !seen[cell] {
			seen[cell], out = true, append(out, c.ID)
		}
	}
	return out
}

// everything answers every call of every service alike.
func everything(t *testing.T, answer grpc.StreamHandler) string {
	t.Helper()
	addr, stop, err := listen(t.Context(), grpc.NewServer(grpc.UnknownServiceHandler(answer)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return addr
}

// nothing is an empty message of every type.
type nothing = conformancev1.GetCapabilitiesRequest

// TestNoServerThatAnswersAllAlikePassesAnything has the fixtures of a good server, so
// that a pass could come from nothing but the answers.
func TestNoServerThatAnswersAllAlikePassesAnything(t *testing.T) {
	b := newBench(t, true)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	closed := func() string {
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_ = conn.Close()
			}
		}()
		return l.Addr().String()
	}
	empty := func(_ any, s grpc.ServerStream) error {
		if err := s.RecvMsg(new(nothing)); err != nil {
			return nil //nolint:nilerr // whatever was sent, it says that all is well
		}
		return s.SendMsg(new(nothing))
	}
	denies := func(code codes.Code) grpc.StreamHandler {
		return func(any, grpc.ServerStream) error { return status.Error(code, "no") }
	}
	hangs := func(_ any, s grpc.ServerStream) error {
		select {
		case <-s.Context().Done():
		case <-release:
		}
		return nil
	}
	for name, c := range map[string]struct {
		addr  string
		scale float64
		only  []string
	}{
		"says OK and nothing":       {everything(t, empty), 1, oneOfEachCell()},
		"denies as unauthenticated": {everything(t, denies(codes.Unauthenticated)), 1, oneOfEachRule()},
		"denies as not live":        {everything(t, denies(codes.FailedPrecondition)), 1, oneOfEachRule()},
		"hangs":                     {everything(t, hangs), 0.02, oneOfEachRule()},
		"closes every connection":   {closed(), 1, oneOfEachRule()},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.judge(t, dial(t, c.addr, insecure.NewCredentials()), suite.Options{Seed: 3, TimeScale: c.scale, Only: c.only})
			tell(t, r, suite.Passed, suite.Broken)
			if r.ExitCode() != 1 {
				t.Errorf("exit code %d", r.ExitCode())
			}
			t.Logf("%d failed, in %v", r.Count(suite.Failed), r.Took)
		})
	}
}
