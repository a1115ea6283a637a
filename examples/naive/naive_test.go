package main

import (
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/fixtures"
	"github.com/neochaotic/leoflow/conformance/serversuite"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// heard passes on the address that the command prints first.
type heard chan string

func (h heard) Write(p []byte) (int, error) {
	if addr, ok := strings.CutPrefix(strings.TrimSpace(string(p)), "naive listens on "); ok {
		h <- addr
	}
	return len(p), nil
}

// judge puts the server through the suite, by its adapter.
func judge(t *testing.T, program, flags string, only ...string) *suite.Results {
	t.Helper()
	addr := make(heard, 1)
	command, err := fixtures.Start(program+" -addr 127.0.0.1:0 "+flags, fixtures.Options{Stderr: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command.Close(); err != nil {
			t.Error(err)
		}
	})
	var conn *grpc.ClientConn
	select {
	case <-time.After(time.Minute):
		t.Fatal("it does not listen")
	case at := <-addr:
		if conn, err = grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = conn.Close() })
	target, err := serversuite.NewTarget(t.Context(), conn, false, command.Client())
	if err != nil {
		t.Fatal(err)
	}
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	results, err := suite.Run(t.Context(), serversuite.Checks(target), suite.Options{
		Rules: rules, Side: catalogue.Server, Seed: 1, Parallel: 16, TimeScale: 3, Only: only,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(results.Summary())
	return results
}

// finding is checks that a fault fails, and what each of them says of it.
type finding struct{ checks, says string }

// found are the faults of the package's comment, by their names: what finds each.
var found = map[string][]finding{
	"signed-is-enough": {
		{"AUTH-2/no-scheme/*", "without its scheme was answered OK"},
		{"AUTH-2/no-expiry/*", "was answered OK"},
		{"AUTH-2/other-algorithm/*", "was answered OK"},
		{"AUTH-2/other-issuer/*", "was answered OK"},
		{"AUTH-2/other-audience/*", "was answered OK"},
	},
	"half-an-identity": {{"AUTH-3/*/*", "not Unauthenticated"}},
	"tells-why":        {{"AUTH-4/alike/*", "in other words"}},
	"first-line":       {{"AUTH-1/silent/StreamLogs", "before any message"}},
	"no-fencing": {
		{"REG-3/*", "was answered OK, not FailedPrecondition"},
		{"STATE-4/s*", "against an outcome was answered {acknowledged:true}"},
		{"STATE-5/*", "against an outcome was answered {acknowledged:true}"},
		{"STATE-7/race", "was answered {acknowledged:true}"},
		{"STATE-9/race", "and then"},
		{"BEAT-3/[flst]*", "not told to terminate"},
		{"BEAT-4/*", "a heartbeat after the end changed"},
		{"XCOM-6/*", "was answered OK, not FailedPrecondition"},
		{"XCOM-7/[flst]*", "was answered OK, not FailedPrecondition"},
		{"SECRET-4/*/*", "was answered OK, not PermissionDenied"},
		{"ISO-4/not-live/PushXCom", "of a superseded attempt changed the value"},
	},
	"unknown-is-error": {
		{"STATE-4/unknown", "was answered NotFound"},
		{"BEAT-3/unknown", "was answered NotFound"},
	},
	"half-a-cancel": {
		{"BEAT-3/cancelled", "not told to terminate for [TERMINATION_REASON_CANCELLED]"},
		{"BEAT-6/stop-by", "came with stop_by"},
		{"STATE-10/failed", "FAILED while a cancel is pending"},
		{"STATE-10/running", "RUNNING while a cancel is pending"},
	},
	"any-state":    {{"STATE-1/*", "was answered OK, not InvalidArgument"}},
	"last-time":    {{"STATE-3/running", "its first time was"}},
	"uncut":        {{"STATE-6/long", "are stored"}, {"LOG-7/long", "is not cut"}},
	"agents-clock": {{"BEAT-1/*", "moved the stamp"}},
	"no-interval":  {{"BEAT-7/interval", "to beat every 0s"}},
	"no-acks": {
		{"LOG-4/gap", "was answered DeadlineExceeded"},
		{"LOG-5/*", "acknowledge"},
		{"LOG-13/takes-over", "acknowledge"},
	},
	"text-log":       {{"LOG-8/text", "the log of stdout holds"}},
	"tenants-mixed":  {{"ISO-1/twin/FetchXCom", "canary-twin"}, {"ISO-1/twin/PushXCom", "changed the value"}},
	"stale-values":   {{"XCOM-7/clean", "was answered OK, not NotFound"}},
	"open-values":    {{"XCOM-5/undeclared", "not PermissionDenied"}, {"ISO-5/*", "does not declare the source was answered OK"}},
	"bare-values":    {{"XCOM-4/bytes", "came {value:"}, {"XCOM-8/told", "told as 0s"}},
	"large-is-error": {{"XCOM-2/limit", "was answered InvalidArgument"}},
	"no-version":     {{"SPEC-1/every-field", "dag_version"}},
	"untraced":       {{"SECRET-5/audit/*", "0 records are there"}},
	"in-the-clear":   {{"SECRET-1/plaintext/*", "was answered OK, not PermissionDenied"}},
	"raw-errors": {
		{"ERR-1/unauthenticated", "no google.rpc.RequestInfo"},
		{"ERR-1/absent", "the error says \"select value from \""},
		{"ERR-1/undeclared", "the error says \"select value from \""},
		{"ERR-3/*", "google.rpc.ErrorInfo"},
		{"ERR-3/field/*", "not InvalidArgument"},
	},
}

// TestTheReportNamesEachFaultAndNothingElse judges it as its operator allows secrets in
// plaintext, and SECRET-1 once more as nobody does.
func TestTheReportNamesEachFaultAndNothingElse(t *testing.T) {
	program := filepath.Join(t.TempDir(), "naive")
	if out, err := exec.Command("go", "build", "-race=false", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	results := judge(t, program, "-plaintext-secrets").Checks
	results = append(results, judge(t, program, "", "SECRET-1").Checks...)
	finds := map[finding]bool{}
	for _, c := range results {
		switch c.Status {
		case suite.Broken:
			t.Errorf("%s broke: %s", c.Check, c.Reason)
		case suite.Failed:
			by := finderOf(c.Check)
			finds[by] = true
			if by.checks == "" {
				t.Errorf("%s failed, and is no fault of the table: %s", c.Check, c.Reason)
			} else if !strings.Contains(c.Reason, by.says) {
				t.Errorf("%s failed, and does not say %q: %s", c.Check, by.says, c.Reason)
			}
		}
	}
	for name, all := range found {
		for _, f := range all {
			if !finds[f] {
				t.Errorf("the fault %s is not found by %s", name, f.checks)
			}
		}
	}
}

// finderOf is what of the table a check is; the zero value: nothing.
func finderOf(check string) finding {
	for _, all := range found {
		for _, f := range all {
			if matched, err := path.Match(f.checks, check); err == nil && matched {
				return f
			}
		}
	}
	return finding{}
}

// TestTheCommentListsTheFaults holds the package's comment to the table.
func TestTheCommentListsTheFaults(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for line := range strings.Lines(file.Doc.Text()) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.HasPrefix(line, "\t") {
			listed[name], _, _ = strings.Cut(rest, ": ")
		}
	}
	want := map[string]string{}
	for name, all := range found {
		rules := map[string]bool{}
		for _, f := range all {
			rule, _, _ := strings.Cut(f.checks, "/")
			rules[rule] = true
		}
		want[name] = strings.Join(slices.Sorted(maps.Keys(rules)), " ")
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("the comment of the package is not the table (-table +comment):\n%s", diff)
	}
}
