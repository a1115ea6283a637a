package main

import (
	"path/filepath"
	"testing"
)

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
