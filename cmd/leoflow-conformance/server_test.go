package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/report"
)

// bare is an adapter that can do nothing but say so.
type bare struct {
	conformancev1.UnimplementedFixtureServiceServer
}

func (bare) GetCapabilities(context.Context, *conformancev1.GetCapabilitiesRequest) (*conformancev1.GetCapabilitiesResponse, error) {
	return &conformancev1.GetCapabilitiesResponse{Server: "bare"}, nil
}

// serve serves an adapter, or nothing, on a free port until the test ends.
func serve(t *testing.T, fixtures conformancev1.FixtureServiceServer) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	if fixtures != nil {
		conformancev1.RegisterFixtureServiceServer(s, fixtures)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// dead is an address on which nobody listens.
func dead(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAServerThatCannotBeJudgedHasItsExitCodeAndOneLine(t *testing.T) {
	good, none := serve(t, bare{}), serve(t, nil)
	at := func(addr, fixtures string, more ...string) []string {
		return append([]string{"server", "--addr", addr, "--fixtures-addr", fixtures}, more...)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no address":              {[]string{"server"}, exitBadUsage, "--addr"},
		"no port":                 {at("localhost", good), exitBadUsage, `--addr "localhost"`},
		"nobody there":            {at(dead(t), good), exitUnreachable, "start the server"},
		"no fixtures there":       {at(good, dead(t)), exitUnreachable, "--fixtures-addr"},
		"no FixtureService":       {at(good, none), exitBadUsage, "FixtureService is not served there"},
		"TLS to plaintext":        {at(good, good, "--tls"), exitUnreachable, "TLS"},
		"certificates are absent": {at(good, good, "--tls-ca", "no-such-file"), exitBadUsage, "--tls-ca"},
		"certificates are none":   {at(good, good, "--tls-ca", file(t, "x")), exitBadUsage, "holds no certificate"},
		"unknown rule":            {at(good, good, "--rule", "BEAT"+"-99"), exitBadUsage, "the family goes from"},
		"unknown check":           {at(good, good, "--rule", "BEAT-1/nothing"), exitBadUsage, "there is no check"},
		"unknown RPC":             {at(good, good, "--rpc", "Pulse"), exitBadUsage, "--rpc"},
		"unknown level":           {at(good, good, "--level", "may"), exitBadUsage, "must or should"},
		"no repetition":           {at(good, good, "--repeat", "0"), exitBadUsage, "--repeat"},
		"no list of failures":     {at(good, good, "--known-failing", "no-such-file"), exitBadUsage, "--known-failing"},
		"a failure of no reason":  {at(good, good, "--known-failing", file(t, "BEAT-1\n")), exitBadUsage, "has no reason"},
		"a failure of no rule":    {at(good, good, "--known-failing", file(t, "BEAT"+"-99 why\n")), exitBadUsage, "known failing: there is no rule"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(c.args...)
			line, rest, _ := strings.Cut(errOut, "\n")
			if code != c.code || out != "" || rest != "" || !strings.Contains(line, c.want) {
				t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
			}
		})
	}
}

// TestWhatTheFixturesCannotDoIsUntestableAndNoPass has an adapter that can do nothing.
func TestWhatTheFixturesCannotDoIsUntestableAndNoPass(t *testing.T) {
	addr := serve(t, bare{})
	known := file(t, "# a list\n\nBEAT-1 nobody has looked at it\n")
	args := []string{"server", "--addr", addr, "--fixtures-addr", addr, "--level", "must", "--seed", "5", "--known-failing", known}
	code, text, errOut := command(args...)
	if code != exitFailed || errOut != "" || !strings.Contains(text, " 0 passed, 0 failed, ") || !strings.Contains(text, "seed 5\n") {
		t.Errorf("exit code %d, output %q, standard error %q", code, text, errOut)
	}
	code, text, errOut = command(append(args, "-o", "json")...)
	got, err := report.Read([]byte(text))
	if code != exitFailed || err != nil || errOut != "" {
		t.Fatalf("exit code %d, %v, standard error %q", code, err, errOut)
	}
	if n := got.GetChecksByStatus(); n.GetPassed()+n.GetFailed()+n.GetKnownFailing()+n.GetError() > 0 || n.GetUntestable() == 0 {
		t.Errorf("of the checks there are %v", n)
	}
}
