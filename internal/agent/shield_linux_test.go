package agent

import (
	"bytes"
	"os"
	"os/exec"
	"runtime/pprof"
	"syscall"
	"testing"
)

// shieldedVariable has this test's program play a shielded process.
const shieldedVariable = "LEOFLOW_TEST_SHIELDED"

// TestShieldLeavesTheRestAlone holds that a shielded process of an ordinary user can
// still be profiled from within, and start others that are not shielded.
func TestShieldLeavesTheRestAlone(t *testing.T) {
	if os.Getenv(shieldedVariable) != "" {
		beShielded(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestShieldLeavesTheRestAlone$")
	cmd.Env = append(os.Environ(), shieldedVariable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func beShielded(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 { // who may read anything
		if err := syscall.Setuid(65534); err != nil {
			t.Fatal(err)
		}
	}
	if err := shield(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile("/proc/self/environ"); err == nil {
		t.Error("not shielded: its environment is open to its user")
	}
	var cpu, heap bytes.Buffer
	if err := pprof.StartCPUProfile(&cpu); err != nil {
		t.Error(err)
	}
	pprof.StopCPUProfile()
	if err := pprof.WriteHeapProfile(&heap); err != nil || heap.Len() == 0 || cpu.Len() == 0 {
		t.Errorf("profiles of %d and %d bytes, %v", cpu.Len(), heap.Len(), err)
	}
	if out, err := exec.Command("cat", "/proc/self/environ").CombinedOutput(); err != nil {
		t.Errorf("what it starts is shielded too: %v, %s", err, out)
	}
	if all, known := processes(); !known || len(all) == 0 {
		t.Error("it does not see the processes of its task any more")
	}
}
