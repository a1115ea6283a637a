package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/serversuite"
)

// ready is an adapter that prepares runs and attempts, and nothing else.
type ready struct{ bare }

func (ready) PrepareRun(context.Context, *conformancev1.PrepareRunRequest) (*conformancev1.PrepareRunResponse, error) {
	return &conformancev1.PrepareRunResponse{}, nil
}

func (ready) PrepareAttempt(_ context.Context, req *conformancev1.PrepareAttemptRequest) (*conformancev1.PrepareAttemptResponse, error) {
	ref := req.GetTask()
	ref.TaskInstanceId, ref.TryNumber = "instance", 1
	return &conformancev1.PrepareAttemptResponse{Attempt: ref, Token: "token of " + ref.GetTaskId()}, nil
}

// broken fails when it is to prepare an attempt.
type broken struct{ ready }

func (broken) PrepareAttempt(context.Context, *conformancev1.PrepareAttemptRequest) (*conformancev1.PrepareAttemptResponse, error) {
	return nil, status.Error(codes.Internal, "no database")
}

// TestTheDefaultFileServesEveryCheck: some checks use up two groups, or more, whatever the
// order in which they come.
func TestTheDefaultFileServesEveryCheck(t *testing.T) {
	var flags cli
	parser, err := newParser(&flags, io.Discard, io.Discard, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"prepare", "--fixtures-addr", "127.0.0.1:1", "fixtures.json"}); err != nil {
		t.Fatal(err)
	}
	checks := len(serversuite.Checks(&serversuite.Target{Capabilities: &conformancev1.GetCapabilitiesResponse{}}))
	if least := checks * 5 / 4; flags.Prepare.Groups < least {
		t.Errorf("there are %d checks, and by default %d groups: make it %d at least", checks, flags.Prepare.Groups, least)
	}
}

func TestPrepareWritesAFileThatServerTakes(t *testing.T) {
	addr, path := serve(t, ready{}), filepath.Join(t.TempDir(), "fixtures.json")
	code, out, errOut := command("prepare", "--fixtures-addr", addr, "--groups", "3", path)
	if code != exitOK || !strings.HasPrefix(out, "3 groups of runs") || errOut != "" {
		t.Fatalf("exit code %d, output %q, standard error %q", code, out, errOut)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file, which holds tokens, has the mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file conformancev1.StaticFixtures
	if err := protojson.Unmarshal(text, &file); err != nil || len(file.GetGroups()) != 3 {
		t.Errorf("the file holds %d groups, %v", len(file.GetGroups()), err)
	}
	// A server that serves nothing passes nothing, whatever was prepared.
	code, out, errOut = command("server", "--addr", addr, "--fixtures-file", path, "--rule", "SPEC")
	if code != exitFailed || !strings.Contains(out, "0 passed") {
		t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
	}
}

func TestAFileOfFixturesThatIsWrongIsBadUsage(t *testing.T) {
	addr, dir := serve(t, ready{}), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	there := write("there.json", "{}")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no such file":   {[]string{"server", "--addr", addr, "--fixtures-file", filepath.Join(dir, "none")}, exitBadUsage, "no such file"},
		"no JSON":        {[]string{"server", "--addr", addr, "--fixtures-file", write("text", "hello")}, exitBadUsage, "StaticFixtures as JSON"},
		"unknown field":  {[]string{"server", "--addr", addr, "--fixtures-file", write("unknown", `{"grups": []}`)}, exitBadUsage, `"grups"`},
		"no group":       {[]string{"server", "--addr", addr, "--fixtures-file", there}, exitBadUsage, "groups are missing"},
		"a fault":        {[]string{"server", "--addr", addr, "--fixtures-file", write("fault", `{"capabilities": {"clock": true}}`)}, exitBadUsage, "moves no clock"},
		"a repeat":       {[]string{"server", "--addr", addr, "--fixtures-file", there, "--repeat", "2"}, exitBadUsage, "serves one run"},
		"two ways":       {[]string{"server", "--addr", addr, "--fixtures-file", there, "--fixtures-addr", addr}, exitBadUsage, "can't be used together"},
		"to be replaced": {[]string{"prepare", "--fixtures-addr", addr, there}, exitBadUsage, "file exists"},
		"nowhere":        {[]string{"prepare", "--fixtures-addr", addr, filepath.Join(dir, "none", "file")}, exitBadUsage, "no such file"},
		"no groups":      {[]string{"prepare", "--fixtures-addr", addr, "--groups", "0", filepath.Join(dir, "new")}, exitBadUsage, "--groups"},
		"no adapter":     {[]string{"prepare", "--fixtures-addr", dead(t), filepath.Join(dir, "new")}, exitUnreachable, "--fixtures-addr"},
		"a broken one":   {[]string{"prepare", "--fixtures-addr", serve(t, broken{}), filepath.Join(dir, "new")}, exitUnreachable, "no database"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(c.args...)
			if code != c.code || out != "" || !strings.Contains(errOut, c.want) {
				t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a file that could not be filled was left behind")
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "{}" {
		t.Errorf("the file that was there is %q now, %v", text, err)
	}
}

func TestEachFaultOfAFileIsTold(t *testing.T) {
	var file conformancev1.StaticFixtures
	file.Groups = []*conformancev1.StaticGroup{{Run: &conformancev1.StaticRun{
		Prepared: &conformancev1.PreparedRun{TenantId: "t", DagId: "d", Canary: "c"},
		Attempts: []*conformancev1.StaticAttempt{{Attempt: &conformancev1.AttemptRef{TenantId: "other"}}},
	}}, {}}
	text, err := protojson.Marshal(&file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fixtures.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, errOut := command("server", "--addr", serve(t, nil), "--fixtures-file", path)
	for _, want := range []string{
		"capabilities are missing", "groups[0].run: prepared.runId is empty", `groups[0].run: prepared.tasks lacks the task "worker"`,
		"groups[0].run: attempts[0].attempt is of another tenant", "groups[0].run: attempts[0] lacks its tryNumber", "groups[1].run is missing",
	} {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q is missing in\n%s", want, errOut)
		}
	}
}
