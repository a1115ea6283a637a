package catalogue

import (
	"strings"
	"testing"
)

func load(t *testing.T) *Catalogue {
	t.Helper()
	c, err := ReadFile("../rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// small is a catalogue of two rules, which the tests break in one place each.
const small = `edition: 1
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
  - {id: BEAT, title: Heartbeats}
  - {id: A-RUN, title: Running}
rules:
  - id: BEAT-1
    level: must
    side: server
    rpcs: [AgentService/Heartbeat]
    evidence: internal
    needs: [renewal]
    since: 1
    options: [MethodPolicy.scope]
    statement: >-
      It beats,
      and goes on.
    rationale: So that it lives.
    tests: [internal/agent:TestBeat1]
  - id: A-RUN-1
    level: should
    side: agent
    rpcs: all
    evidence: wire
    since: 1
    statement: It runs.
    rationale: It must.
`

func TestCatalogueIsRead(t *testing.T) {
	c, err := Parse("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	beat, err := c.Rule("BEAT-1")
	if err != nil || beat.Statement != "It beats, and goes on." || beat.Scope() != "AgentService/Heartbeat" || beat.Family() != "BEAT" {
		t.Errorf("got %+v, %v", beat, err)
	}
	run, err := c.Rule("A-RUN-1")
	if err != nil || len(run.RPCs) != len(RPCs()) || run.Scope() != "every RPC" || run.Family() != "A-RUN" {
		t.Errorf("got %+v, %v", run, err)
	}
}

func TestCatalogueFaultsNameTheirLine(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"unknown key":         {"    level: must\n", "    level: must\n    colour: red\n", "small.yaml:18: field colour not found"},
		"key twice":           {"    level: must\n", "    level: must\n    level: must\n", `small.yaml:18: mapping key "level" already defined at line 17`},
		"no YAML":             {"edition: 1", "edition: [", "small.yaml:"},
		"two documents":       {"edition: 1", "---\nedition: 1\n---\nedition: 1", "more than one document"},
		"edition":             {"edition: 1", "edition: 0", "small.yaml:1: edition is 0"},
		"same id":             {"id: A-RUN-1", "id: BEAT-1", "small.yaml:29: BEAT-1 is there twice, first in line 16"},
		"form of the id":      {"id: A-RUN-1", "id: a-run-1", `small.yaml:29: the id "a-run-1" is not FAMILY-N`},
		"number of the id":    {"id: A-RUN-1", "id: A-RUN" + "-0", `-0" is not FAMILY-N`},
		"family":              {"{id: A-RUN, title: Running}", "{id: A-FLY, title: Flying}", "small.yaml:29: A-RUN-1 is of no family"},
		"order":               {"  - {id: BEAT, title: Heartbeats}\n  - {id: A-RUN, title: Running}\n", "  - {id: A-RUN, title: Running}\n  - {id: BEAT, title: Heartbeats}\n", "A-RUN-1 stands after BEAT-1"},
		"family without rule": {"  - {id: A-RUN, title: Running}\n", "  - {id: A-RUN, title: Running}\n  - {id: A-FLY, title: Flying}\n", `small.yaml:15: the family "A-FLY" has no rule`},
		"level":               {"level: must", "level: musty", `small.yaml:17: BEAT-1: the level "musty" is none of must, should`},
		"no level":            {"    level: must\n", "", `small.yaml:16: BEAT-1: the level "" is none`},
		"side":                {"side: server", "side: client", `small.yaml:18: BEAT-1: the side "client" is none of server, agent`},
		"side of the name":    {"side: server", "side: agent", "small.yaml:18: BEAT-1: ids of agents' rules"},
		"class":               {"evidence: wire", "evidence: hearsay", `small.yaml:33: A-RUN-1: the evidence "hearsay" is none of`},
		"RPC":                 {"AgentService/Heartbeat", "AgentService/Pulse", `small.yaml:19: BEAT-1: "AgentService/Pulse" is no RPC`},
		"RPC twice":           {"[AgentService/Heartbeat]", "[AgentService, AgentService/Heartbeat]", "small.yaml:19: BEAT-1 names AgentService/Heartbeat twice"},
		"no RPC":              {"rpcs: all", "rpcs: []", "small.yaml:32: A-RUN-1 names no rpcs"},
		"odd RPCs":            {"rpcs: all", "rpcs: some", "small.yaml:32: rpcs is neither a list nor `all`"},
		"no rationale":        {"    rationale: So that it lives.\n", "", "small.yaml:16: BEAT-1 has no rationale"},
		"empty statement":     {"statement: It runs.", "statement: ' '", "small.yaml:35: A-RUN-1 has no statement"},
		"since":               {"since: 1\n    statement: It runs.", "since: 2\n    statement: It runs.", "small.yaml:34: A-RUN-1: since is 2"},
		"ability":             {"needs: [renewal]", "needs: [flying]", `small.yaml:21: BEAT-1: there is no ability "flying"`},
		"ability unused":      {"    needs: [renewal]\n", "", `small.yaml:11: no rule needs the ability "renewal"`},
		"option":              {"MethodPolicy.scope", "MethodPolicy.scale", `small.yaml:23: BEAT-1: there is no option "MethodPolicy.scale"`},
		"no tests":            {"    tests: [internal/agent:TestBeat1]\n", "", "small.yaml:16: BEAT-1: rules with the evidence internal"},
		"tests of others":     {"rationale: It must.", "rationale: It must.\n    tests: [internal/agent:TestBeat1]", "A-RUN-1: rules with the evidence internal, and no others"},
		"form of a test":      {"internal/agent:TestBeat1", "TestBeat1", `the test "TestBeat1" is not package:TestName`},
		"class untold":        {"  - {id: fault, meaning: c}\n", "", "small.yaml:4: evidence tells of"},
		"word without sense":  {"meaning: Not ended.", "meaning: ''", "small.yaml:3: an entry of words lacks"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Count(small, tc.old) == 0 {
				t.Fatalf("nothing to break: %q", tc.old)
			}
			_, err := Parse("small.yaml", []byte(strings.Replace(small, tc.old, tc.new, 1)))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "conformance.") {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestCatalogueTellsEveryFaultAtOnce(t *testing.T) {
	broken := strings.NewReplacer("level: must", "level: a", "side: agent", "side: b").Replace(small)
	_, err := Parse("small.yaml", []byte(broken))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v, want two lines", err)
	}
}

func TestFilters(t *testing.T) {
	c := load(t)
	heartbeat, err := FindRPC("Heartbeat")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		filter  Filter
		in, out []string
	}{
		"none":     {Filter{}, []string{"AUTH-1", "A-LOG-3"}, nil},
		"family":   {Filter{Family: "BEAT"}, []string{"BEAT-1", "BEAT-7"}, []string{"A-BEAT-1", "STATE-1"}},
		"level":    {Filter{Level: Should}, []string{"AUTH-9", "A-NET-1"}, []string{"AUTH-1"}},
		"side":     {Filter{Side: Agent}, []string{"A-RUN-1"}, []string{"AUTH-1"}},
		"RPC":      {Filter{RPC: heartbeat}, []string{"AUTH-1", "BEAT-1", "A-BEAT-2"}, []string{"SPEC-1"}},
		"evidence": {Filter{Evidence: Internal}, []string{"AUTH-8", "SECRET-6"}, []string{"ERR-2"}},
		"several":  {Filter{RPC: heartbeat, Level: Should, Side: Server}, []string{"BEAT-6"}, []string{"BEAT-1", "A-BEAT-3"}},
	} {
		got := map[string]bool{}
		for _, r := range c.Rules(tc.filter) {
			got[r.ID] = true
		}
		for _, id := range tc.in {
			if !got[id] {
				t.Errorf("%s: without %s", name, id)
			}
		}
		for _, id := range tc.out {
			if got[id] {
				t.Errorf("%s: with %s", name, id)
			}
		}
	}
	if got := c.Rules(Filter{Family: "none"}); got == nil || len(got) != 0 {
		t.Errorf("of no family: %v", got)
	}
}

func TestUnknownNamesAreAnsweredWithWhatThereIs(t *testing.T) {
	c := load(t)
	_, ofFamily := c.Rule("BEAT" + "-99")
	_, ofNone := c.Rule("beat")
	_, family := c.Family("BET")
	_, rpc := FindRPC("Pulse")
	for _, tc := range []struct {
		err  error
		want string
	}{
		{ofFamily, "from BEAT-1 to BEAT-7"}, {ofNone, "families are AUTH, ISO"}, {family, "A-LOG"}, {rpc, "AgentService or ControlService"},
	} {
		if tc.err == nil || !strings.Contains(tc.err.Error(), tc.want) {
			t.Errorf("got %v, want %s", tc.err, tc.want)
		}
	}
	for _, name := range []string{"GetXCom", "ControlService/GetXCom", "/leoflow.control.v1.ControlService/GetXCom"} {
		if got, err := FindRPC(name); err != nil || got != "/leoflow.control.v1.ControlService/GetXCom" {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
}
