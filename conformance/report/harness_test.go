package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden wants a text as the file in testdata has it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-update writes it anew):\n%s", path, diff)
	}
}

// rules is a catalogue of a few rules.
const rules = `edition: 3
words:
  - {word: live, meaning: Not ended.}
evidence:
  - {id: wire, meaning: a}
  - {id: fixture, meaning: b}
  - {id: fault, meaning: c}
  - {id: process, meaning: d}
  - {id: internal, meaning: e}
abilities:
  - {id: renewal, meaning: New tokens.}
families:
  - {id: AUTH, title: Who calls}
  - {id: BEAT, title: Heartbeats}
  - {id: LOG, title: Logs}
rules:
  - {id: AUTH-1, level: must, side: server, rpcs: [AgentService], evidence: wire, since: 1, statement: "A call without a token is refused.", rationale: "It is nobody's."}
  - {id: AUTH-2, level: must, side: server, rpcs: [AgentService], evidence: fixture, since: 1, statement: "An expired token is refused, whatever *else* it says.", rationale: "It is old."}
  - {id: AUTH-8, level: must, side: server, rpcs: all, evidence: internal, since: 1, statement: "Logs hold no token.", rationale: "They travel.", tests: ["internal/policy:TestAuth8"]}
  - {id: BEAT-1, level: must, side: server, rpcs: [AgentService/Heartbeat], evidence: fixture, since: 1, statement: "A beat of a live attempt says ` + "`should_terminate`" + ` false.", rationale: "Work goes on."}
  - {id: BEAT-2, level: should, side: server, rpcs: [AgentService/Heartbeat], evidence: fault, since: 2, statement: "A beat is answered while the store is down.", rationale: "A blip kills nothing."}
  - {id: BEAT-3, level: should, side: server, rpcs: [AgentService/Heartbeat], evidence: fixture, since: 2, needs: [renewal], statement: "A beat may bring a token.", rationale: "Tokens end."}
  - {id: LOG-1, level: must, side: server, rpcs: [AgentService/StreamLogs], evidence: fixture, since: 3, statement: "Lines are kept.", rationale: "They are read."}
  - {id: LOG-2, level: must, side: server, rpcs: [AgentService/StreamLogs], evidence: fixture, since: 3, statement: "Lines keep their order.", rationale: "They are a story."}
`

var parsed = sync.OnceValues(func() (*catalogue.Catalogue, error) { return catalogue.Parse("rules.yaml", []byte(rules)) })

func load(t testing.TB) *catalogue.Catalogue {
	t.Helper()
	c, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	register = catalogue.RPC(agentv1.AgentService_Register_FullMethodName)
	beat     = catalogue.RPC(agentv1.AgentService_Heartbeat_FullMethodName)
	logs     = catalogue.RPC(agentv1.AgentService_StreamLogs_FullMethodName)
)

// result is what became of a check.
func result(rule, word string, status suite.Status, reason string, rpcs ...catalogue.RPC) suite.Result {
	return suite.Result{
		Check: rule + "/" + word, Rule: rule, Level: catalogue.Must, RPCs: rpcs, Name: "it is tried by " + word, Status: status,
		Reason: reason, Runs: 1, Took: 1500 * time.Microsecond,
	}
}

// mixed are results with something of everything.
func mixed() *suite.Results {
	bad := result("AUTH-2", "expired/Heartbeat", suite.Failed, "it was answered OK, not Unauthenticated\nthe attempt's stamp moved", beat)
	bad.Runs, bad.Bad = 3, 2
	bad.Evidence = []suite.Event{
		{At: 2 * time.Millisecond, What: "prepared: try 1 of worker"},
		{At: 5 * time.Millisecond, What: "as nobody", RPC: beat, Sent: `{"sentAt":"2026-01-02T03:04:05Z"}`, Code: "Unauthenticated", Error: "who are you"},
		{At: 1503 * time.Millisecond, What: "with an expired token", RPC: beat, Sent: "{}", Received: `{"renewedToken":"[redacted]"}`},
	}
	left := result("BEAT-1", "hangs", suite.Skipped, "left out: it stops the machine", beat)
	left.NotRun = true
	broken := result("LOG-1", "kept", suite.Broken, "the check panicked: a slip", logs)
	broken.Bad = 1
	return &suite.Results{
		Seed: 7, Side: catalogue.Server, Edition: 3, Repeat: 3, Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Took: 3210 * time.Millisecond,
		Checks: []suite.Result{
			result("AUTH-1", "none/Register", suite.Passed, "", register),
			result("AUTH-1", "none/Heartbeat", suite.Passed, "", beat),
			result("AUTH-2", "expired/Register", suite.Passed, "", register),
			bad,
			result("BEAT-1", "live", suite.KnownFailing, "known: we work on it\nit was told to end", beat),
			left,
			result("BEAT-2", "down", suite.Untestable, "the fixtures cannot make the fault FAULT_STORE_DOWN", beat),
			result("BEAT-3", "due", suite.Skipped, "the server lacks the ability renewal"),
			broken,
		},
		Unchecked: []string{"LOG-2"}, Stale: []string{"AUTH-1"},
	}
}

// clean are results of which every check passed.
func clean() *suite.Results {
	r := mixed()
	r.Checks, r.Unchecked, r.Stale = nil, nil, nil
	for _, id := range []string{"AUTH-1", "AUTH-2", "BEAT-1", "BEAT-2", "BEAT-3", "LOG-1", "LOG-2"} {
		r.Checks = append(r.Checks, result(id, "x", suite.Passed, "", beat))
	}
	return r
}

func reportOf(t testing.TB, r *suite.Results) *conformancev1.Report {
	t.Helper()
	return New(suite.Options{Rules: load(t), Side: r.Side}, r, "a server 1.2")
}

// forms are all forms of a report.
var forms = map[string]func(*conformancev1.Report) ([]byte, error){
	"json": JSON, "xml": JUnit, "html": HTML, "md": Markdown, "svg": Badge,
}

func written(t testing.TB, form string, r *conformancev1.Report) string {
	t.Helper()
	text, err := forms[form](r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		t.Errorf("the last line of %s does not end", form)
	}
	return string(text)
}
