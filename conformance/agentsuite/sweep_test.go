package agentsuite

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// TestNothingOfAnAgentLivesOn has an agent with a helper that leaves its group.
func TestNothingOfAnAgentLivesOn(t *testing.T) {
	number := filepath.Join(t.TempDir(), "number")
	helper := `setsid sh -c 'echo $$ > "$0"; exec sleep 600' ` + number + ` & until [ -s ` + number + ` ]; do :; done; exec ` + program
	if n := judge(t, target(t, "sh", "-c", helper), suite.Options{Only: []string{"A-RUN-2/success"}, TimeScale: 3}).Count(suite.Passed); n != 1 {
		t.Fatalf("%d checks passed, want 1", n)
	}
	pid, err := os.ReadFile(number)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for {
		line, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cmdline"))
		if err != nil || !bytes.Contains(line, []byte("sleep")) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s lives on", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}
