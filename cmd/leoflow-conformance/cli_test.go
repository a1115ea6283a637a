package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
)

func command(args ...string) (code int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	code = run(args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// answer is the output of a command that succeeds.
func answer(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errOut := command(args...)
	if code != exitOK || errOut != "" {
		t.Fatalf("%v: exit code %d, standard error %q", args, code, errOut)
	}
	return out
}

func TestBadUsageIsOneLineAndCodeTwo(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want []string // pieces of the line
	}{
		"no command":           {nil, []string{`"list"`, "leoflow-conformance --help"}},
		"unknown command":      {[]string{"fly"}, []string{"fly", "leoflow-conformance --help"}},
		"unknown flag":         {[]string{"list", "--colour"}, []string{"--colour", "leoflow-conformance list --help"}},
		"level":                {[]string{"list", "--level", "may"}, []string{"--level", `"may"`, "must or should"}},
		"side":                 {[]string{"list", "--side", "client"}, []string{"--side", `"client"`, "server or agent"}},
		"evidence":             {[]string{"list", "--evidence", "hearsay"}, []string{"--evidence", `"hearsay"`, "wire, fixture, fault, process or internal"}},
		"family":               {[]string{"list", "--family", "BET"}, []string{"--family", `"BET"`, "BEAT"}},
		"RPC":                  {[]string{"list", "--rpc", "Pulse"}, []string{"--rpc", `"Pulse"`, "AgentService/Register"}},
		"form":                 {[]string{"list", "-o", "xml"}, []string{"--output", `"xml"`, "json"}},
		"filtered page":        {[]string{"list", "-o", "markdown", "--side", "agent"}, []string{"markdown", "leave the filters out"}},
		"no rule":              {[]string{"explain"}, []string{"<rule>", "leoflow-conformance explain --help"}},
		"unknown rule":         {[]string{"explain", "BEAT-1", "BEAT" + "-99"}, []string{"-99", "BEAT-7", "leoflow-conformance list"}},
		"a rule of no family":  {[]string{"explain", "heart"}, []string{`"HEART"`, "families", "leoflow-conformance list"}},
		"no UTF-8":             {[]string{"explain", "BEAT\xff"}, []string{"argument 2", "UTF-8"}},
		"a terminal's control": {[]string{"list", "\x1b[2J"}, []string{`\x1b[2J`}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(tc.args...)
			if code != exitBadUsage || out != "" {
				t.Errorf("exit code %d, output %q", code, out)
			}
			line, rest, _ := strings.Cut(errOut, "\n")
			if rest != "" || !strings.HasPrefix(line, "leoflow-conformance: ") {
				t.Errorf("not one line: %q", errOut)
			}
			for _, piece := range tc.want {
				if !strings.Contains(line, piece) {
					t.Errorf("%q lacks %q", line, piece)
				}
			}
		})
	}
}

func TestListHasALineForEachRule(t *testing.T) {
	all, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(answer(t, "list"), "\n"), "\n")
	rules := all.Rules(catalogue.Filter{})
	if len(lines) != len(rules)+1 {
		t.Fatalf("%d lines for %d rules and a head", len(lines), len(rules))
	}
	for i, r := range rules {
		if fields := strings.Fields(lines[i+1]); fields[0] != r.ID || fields[1] != string(r.Level) || fields[2] != string(r.Side) {
			t.Errorf("%s is listed as %q", r.ID, lines[i+1])
		}
	}
}

func TestListFilters(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"family":      {[]string{"--family", "token"}, []string{"TOKEN-1", "TOKEN-2", "TOKEN-3"}},
		"of an agent": {[]string{"--family=A-BEAT", "--level=should"}, []string{"A-BEAT-3"}},
		"RPC":         {[]string{"--rpc", "GetTaskSpec", "--side", "agent", "--evidence", "wire", "--level", "must"}, []string{"A-START-3", "A-START-4", "A-NET-2"}},
		"none":        {[]string{"--family", "SPEC", "--side", "agent"}, []string{}},
	} {
		var got []struct{ ID string }
		if err := json.Unmarshal([]byte(answer(t, append([]string{"list", "-o", "json"}, tc.args...)...)), &got); err != nil || got == nil {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		ids := make([]string, len(got))
		for i, r := range got {
			ids[i] = r.ID
		}
		if strings.Join(ids, " ") != strings.Join(tc.want, " ") {
			t.Errorf("%s: %v, want %v", name, ids, tc.want)
		}
	}
}

func TestListAsJSONTellsEverythingOfARule(t *testing.T) {
	var got []catalogue.Rule
	if err := json.Unmarshal([]byte(answer(t, "list", "-o", "json", "--evidence", "internal", "--family", "SECRET")), &got); err != nil {
		t.Fatal(err)
	}
	r := got[0]
	if r.ID != "SECRET-6" || r.Level != catalogue.Must || r.Side != catalogue.Server || r.Since != 1 || len(r.Tests) == 0 ||
		r.RPCs[0] != "/leoflow.agent.v1.AgentService/GetConnections" || r.Needs[0] != "secrets" || r.Statement == "" || r.Rationale == "" {
		t.Errorf("got %+v", r)
	}
}

func TestExplainTellsAllAboutARule(t *testing.T) {
	out := answer(t, "explain", "secret-6", "STATE-4")
	for _, piece := range []string{
		"SECRET-6 · must · server · since edition 1\n", "is ciphertext", "\nWhy\n  Backups", "internal: A test of each",
		"AgentService/GetConnections", "secrets: The server stores", "internal/secrets:TestSecret6SealedBoundToItsName",
		"\n\nSTATE-4 · must", "leoflow.policy.v1: MethodPolicy.effective_in",
	} {
		if !strings.Contains(out, piece) {
			t.Errorf("no %q in\n%s", piece, out)
		}
	}
	for _, line := range strings.Split(out, "\n") {
		if n := len([]rune(line)); n > textWidth && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d wide: %s", n, line)
		}
	}
}

func TestHelpTeachesByExample(t *testing.T) {
	for _, path := range [][]string{{}, {"list"}, {"explain"}} {
		out := answer(t, append(path, "--help")...)
		if !strings.Contains(out, "  leoflow-conformance list") && !strings.Contains(out, "  leoflow-conformance explain") {
			t.Errorf("%v: no example in\n%s", path, out)
		}
		if strings.Contains(out, "${") {
			t.Errorf("%v:\n%s", path, out)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestOutputThatCannotBeWrittenIsNoSuccess(t *testing.T) {
	var errOut strings.Builder
	if code := run([]string{"list"}, full{}, &errOut); code != exitOwnFault || !strings.Contains(errOut.String(), "disk full") {
		t.Errorf("exit code %d, %q", code, errOut.String())
	}
	if code := run([]string{"list"}, io.Discard, io.Discard); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
