package main

import (
	"path/filepath"
	"strings"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func TestSecret1VariablesAndConnectionsOverTLS(t *testing.T) {
	s := serveTLS(t)
	uri := filepath.Join(t.TempDir(), "uri")
	writeFile(t, uri, "pg://u:s3cret@h/d\n")
	got := s.leoflow("variable", "set", "region=eu", "empty=", "equals=a=b")
	got.wantCode(t, exitOK)
	if want := "variable empty is stored\nvariable equals is stored\nvariable region is stored\n"; got.out != want {
		t.Errorf("said %q, want %q", got.out, want)
	}
	s.leoflow("connection", "set", "warehouse=@"+uri).wantRows(t, "connection warehouse is stored")
	s.leoflow("variable", "list").wantRows(t, `KEY +UPDATED`, `region +`+aTime, `empty +`+aTime)
	s.leoflow("connection", "list").wantRows(t, `ID +UPDATED`, `warehouse +`+aTime)

	def := task("t")
	def.Variables, def.Connections = []string{"region", "equals"}, []string{"warehouse"}
	s.createRun("r", def)
	a := s.launch("r", "t", 1)
	variables, err := a.client.GetVariables(a.ctx, &agentv1.GetVariablesRequest{})
	if err != nil || variables.GetVariables()["region"] != "eu" || variables.GetVariables()["equals"] != "a=b" {
		t.Errorf("an agent gets %v, %v", variables, err)
	}
	connections, err := a.client.GetConnections(a.ctx, &agentv1.GetConnectionsRequest{})
	if err != nil || connections.GetConnectionUris()["warehouse"] != "pg://u:s3cret@h/d" {
		t.Errorf("an agent gets %v, %v", connections, err)
	}

	s.leoflow("variable", "delete", "region").wantRows(t, "variable region is deleted")
	if told := s.leoflow("variable", "set", "b=1", "a=2", "-o", "json").entries(t); len(told) != 2 ||
		told[0]["kind"] != "variable" || told[0]["name"] != "a" || told[0]["result"] != "stored" {
		t.Errorf("told: %v", told)
	}
	for _, name := range []string{"a", "b"} {
		if told := s.leoflow("variable", "delete", name, "-o", "json").parsed(t); told["result"] != "deleted" {
			t.Errorf("told: %v", told)
		}
	}
	s.leoflow("connection", "delete", "warehouse").wantRows(t, "connection warehouse is deleted")
	again := s.leoflow("connection", "delete", "warehouse")
	again.wantCode(t, exitFailed)
	again.wantOneLine(t, "not found", `connection "warehouse"`)
	if left := s.leoflow("variable", "list", "-o", "json").entries(t); len(left) != 2 || left[0]["name"] != "empty" {
		t.Errorf("left: %v", left)
	}

	audit := s.leoflow("audit")
	audit.wantRows(t, aTime+`  variable\.put +ada +region`, aTime+`  variables\.delivered +etl r t, try 1 +.*region.*`, aTime+`  connection\.deleted +ada +warehouse`)
	if events := s.leoflow("audit", "-o", "json", "--limit", "1").entries(t); strings.Contains(audit.out, "s3cret") || len(events) != 1 {
		t.Errorf("audit:\n%s%v", audit.out, events)
	}
}

func TestSecretsThatAreRefusedAreNamedWithoutTheirValue(t *testing.T) {
	s := serveTLS(t)
	for _, tc := range []struct {
		args string
		want []string
	}{
		{"variable set k=@/no/s3cret-file", []string{"no such file"}},
		{"variable set =s3cret", []string{"KEY=VALUE"}},
		{"variable set k=s3cret k=s3cret", []string{"variable k is given twice"}},
		{"connection set c=", []string{`connection "c"`, "invalid argument", "uri"}},
		{"variable set " + strings.Repeat("k", 251) + "=s3cret", []string{"invalid argument", "key"}},
	} {
		got := s.leoflow(strings.Fields(tc.args)...)
		got.wantCode(t, exitBadInput)
		got.wantOneLine(t, tc.want...)
		if strings.Contains(strings.ReplaceAll(got.errOut, "/no/s3cret-file", ""), "s3cret") {
			t.Errorf("the error holds the value: %s", got.errOut)
		}
	}
	// Without the authority nobody is believed, and nothing is sent.
	s.env = append(s.env, "LEOFLOW_CA=")
	got := s.leoflow("variable", "set", "k=v")
	got.wantCode(t, exitFailed)
	got.wantOneLine(t, "unavailable", s.addr, "plaintext", "--ca")
}
