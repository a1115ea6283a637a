package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	tls := httptest.NewUnstartedServer(nil)
	tls.EnableHTTP2, tls.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
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
		"trusted by nobody":       {at(tls.Listener.Addr().String(), good, "--tls"), exitUnreachable, "certificate signed by unknown authority: start the server"},
		"nobody, and why":         {at(dead(t), good), exitUnreachable, "connection refused: start the server"},
		"certificates are absent": {at(good, good, "--tls-ca", "no-such-file"), exitBadUsage, "--tls-ca"},
		"certificates are none":   {at(good, good, "--tls-ca", file(t, "x")), exitBadUsage, "holds no certificate"},
		"unknown rule":            {at(good, good, "--rule", "BEAT"+"-99"), exitBadUsage, "the family goes from"},
		"a rule for agents":       {at(good, good, "--rule", "a-run-1"), exitBadUsage, "A-RUN-1 is a rule for another side"},
		"rules for agents":        {at(good, good, "--rule", "a-run"), exitBadUsage, "no check is chosen"},
		"a rule of tests":         {at(good, good, "--rule", "AUTH-8"), exitBadUsage, "left to tests of each implementation"},
		"nothing in common":       {at(good, good, "--rule", "BEAT-1", "--rpc", "Register"), exitBadUsage, "no check is chosen"},
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

// mute is an adapter that answers nothing, and tells that it was called.
type mute struct {
	bare
	called chan<- struct{}
}

func (m mute) GetCapabilities(ctx context.Context, _ *conformancev1.GetCapabilitiesRequest) (*conformancev1.GetCapabilitiesResponse, error) {
	m.called <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestAnInterruptIsNoServerThatIsAway interrupts the program before anything is judged.
func TestAnInterruptIsNoServerThatIsAway(t *testing.T) {
	called := make(chan struct{}, 1)
	silent := serve(t, mute{called: called})
	for name, args := range map[string][]string{
		"judging":   {"server", "--addr", silent, "--fixtures-addr", silent},
		"preparing": {"prepare", "--fixtures-addr", silent, filepath.Join(t.TempDir(), "fixtures.json")},
	} {
		t.Run(name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			program := exec.CommandContext(t.Context(), self, args...)
			program.Env = append(os.Environ(), asProgram+"=1")
			var said bytes.Buffer
			program.Stdout, program.Stderr = &said, &said
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-called:
			case <-time.After(time.Minute):
				t.Error("the adapter was not called")
			}
			if err := program.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
			_ = program.Wait() // its state tells
			if code := program.ProcessState.ExitCode(); code != exitFailed || said.Len() > 0 {
				t.Errorf("exit code %d: %s", code, said.String())
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
