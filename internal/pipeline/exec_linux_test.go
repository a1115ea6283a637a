package pipeline

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// TestNothingOutlivesAKilledAgent holds that what an agent started ends with it,
// though it made a group of its own.
func TestNothingOutlivesAKilledAgent(t *testing.T) {
	p, l, _ := launchHelper(t, "leave")
	gone := held(t, accept(t, l))
	p.Kill()
	ended(t, p)
	gone()
}

// TestAgentDoesNotOutliveItsLauncher kills the launcher, which can do nothing then.
func TestAgentDoesNotOutliveItsLauncher(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	launcher := exec.Command(os.Args[0])
	launcher.Env = append(os.Environ(), helperVariable+"=launch", addressVar+"="+l.Addr().String(), "TMPDIR="+t.TempDir())
	if err := launcher.Start(); err != nil {
		t.Fatal(err)
	}
	gone := held(t, accept(t, l))
	if err := launcher.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = launcher.Wait()
	gone()
}
