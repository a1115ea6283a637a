package mutants

import (
	"context"
	"flag"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
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

// full has every check try each server that answers all alike: it takes minutes.
var full = flag.Bool("full", false, "try servers that answer all alike by every check, not by one of each rule and RPC")

// oneOfEachCell are the ids of one check of each rule and RPC; all of them, if they are
// asked for.
func oneOfEachCell() []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range checks() {
		if cell := fmt.Sprint(c.Rule, c.RPCs); *full || !seen[cell] {
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

// closes ends every connection as soon as it is there.
func closes(t *testing.T) string {
	t.Helper()
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

// hostile are servers that treat all calls alike, with how far the checks' waits are
// stretched: where every one of them waits in vain, they are short.
func hostile(t *testing.T) map[string]hostileServer {
	t.Helper()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
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
	return map[string]hostileServer{
		"says OK and nothing":       {everything(t, empty), 0.3, true},
		"denies as unauthenticated": {everything(t, denies(codes.Unauthenticated)), 0.3, false},
		"denies as not live":        {everything(t, denies(codes.FailedPrecondition)), 0.3, false},
		"denies as not there":       {everything(t, denies(codes.NotFound)), 0.3, false},
		"hangs":                     {everything(t, hangs), 0.02, false},
		"closes every connection":   {closes(t), 0.3, false},
	}
}

type hostileServer struct {
	addr  string
	scale float64
	all   bool // a check of each rule and RPC tries it, not of each rule alone
}

func (h hostileServer) checks() []string {
	if h.all || *full {
		return oneOfEachCell()
	}
	return oneOfEachRule()
}

// TestNoServerThatAnswersAllAlikePassesAnything has the fixtures of a good server, so
// that a pass could come from nothing but the answers.
func TestNoServerThatAnswersAllAlikePassesAnything(t *testing.T) {
	b := newBench(t, true)
	for name, h := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			r := b.judge(t, dial(t, h.addr, insecure.NewCredentials()), suite.Options{Seed: 3, TimeScale: h.scale, Only: h.checks()})
			tell(t, r, suite.Passed, suite.Broken)
			if r.ExitCode() != 1 {
				t.Errorf("exit code %d", r.ExitCode())
			}
			t.Logf("%d checks, %d failed, in %v", len(r.Checks), r.Count(suite.Failed), r.Took)
		})
	}
}

// TestNoFixturesThatAnswerAllAlikeHelpToAPass has them of the same server that answers all
// alike; what the server offers is said as a good one does, or by that server, too.
func TestNoFixturesThatAnswerAllAlikeHelpToAPass(t *testing.T) {
	b := newBench(t, true)
	good, err := conformancev1.NewFixtureServiceClient(b.fixture).GetCapabilities(t.Context(), &conformancev1.GetCapabilitiesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, h.addr, insecure.NewCredentials())
			fixtures := conformancev1.NewFixtureServiceClient(conn)
			for _, capabilities := range []*conformancev1.GetCapabilitiesResponse{good, {}} {
				target := &serversuite.Target{Conn: conn, Confidential: true, Fixtures: fixtures, Capabilities: capabilities}
				r, err := suite.Run(t.Context(), serversuite.Checks(target), suite.Options{
					Rules: rules, Side: catalogue.Server, Seed: 3, TimeScale: h.scale / 10, Parallel: 4 * parallel,
				})
				if err != nil {
					t.Fatal(err)
				}
				tell(t, r, suite.Passed)
				if code := r.ExitCode(); code != 1 && code != 4 {
					t.Errorf("exit code %d", code)
				}
			}
		})
	}
}

// TestFixturesThatDoNotAnswerAreNoTarget has them tell nothing of what the server offers.
func TestFixturesThatDoNotAnswerAreNoTarget(t *testing.T) {
	for name, h := range hostile(t) {
		if name == "says OK and nothing" { // which offers nothing
			continue
		}
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn := dial(t, h.addr, insecure.NewCredentials())
			if _, err := serversuite.NewTarget(ctx, conn, true, conformancev1.NewFixtureServiceClient(conn)); err == nil {
				t.Error("it is one")
			}
		})
	}
}
