package main

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestRunOnAServerThatRefuses is told what helps, as by every other command.
func TestRunOnAServerThatRefuses(t *testing.T) {
	s := servePlain(t)
	path := pipelineFile(t, "name: p\ntasks:\n  - {id: a, bash: 'true'}\n")
	got := s.leoflow("run", "--server", s.addr, "--token", "abc", path)
	got.wantCode(t, exitFailed)
	got.wantOneLine(t, s.addr+" does not take the token; mint one with leoflow token", "(request ")
	got = s.leoflow("run", "--server", s.addr, "--token", s.token("viewer"), path)
	got.wantCode(t, exitFailed)
	got.wantOneLine(t, "permission denied: ", "operator", "mint such a token with leoflow token --role")
}

// TestAServerThatIsNotThereIsToldAtOnce holds that nobody waits without knowing what for.
func TestAServerThatIsNotThereIsToldAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	for addr, want := range map[string]string{
		l.Addr().String():  "leoflow: no control plane at " + l.Addr().String() + " answers in plaintext yet; waiting a minute for it\n",
		servePlain(t).addr: "",
	} {
		r, conn, err := (&remoteFlags{Server: addr, accessFlags: accessFlags{Token: "t"}}).connect()
		if err != nil {
			t.Fatal(err)
		}
		var told bytes.Buffer
		r.awaitContact(t.Context(), deadline, conn, &told)
		if told.String() != want {
			t.Errorf("told %q, want %q", told.String(), want)
		}
		if _, err := r.GetRun(t.Context(), nil); want != "" && !strings.Contains(r.inWords(err, "").Error(), "in plaintext: dial tcp "+addr+": connect: ") {
			t.Errorf("refused: %v", r.inWords(err, ""))
		}
		_ = conn.Close()
	}
}

// TestRunOnAServerOverTLS has agents trust what the run trusts, and get its secrets.
func TestRunOnAServerOverTLS(t *testing.T) {
	s := serveTLS(t)
	file := pipelineFile(t, "name: p\ntasks:\n  - {id: a, bash: 'echo \"in $AIRFLOW_VAR_REGION\"'}\n")
	got := s.leoflow("run", "--server", s.addr, "--var", "REGION=eu", file)
	got.wantCode(t, exitOK)
	got.wantIn(t, "a │ in eu\n")
	for _, args := range [][]string{
		{"--server", s.addr, "--data-dir", s.data},
		{"--server", "nowhere"},
		{"--server", s.addr, "--token-file", filepath.Join(s.data, "none")},
		{"--server", s.addr, "--token", ""},
	} {
		got := s.leoflow(append(append([]string{"run"}, args...), file)...)
		got.wantCode(t, exitBadInput)
		got.wantOneLine(t)
	}
}
