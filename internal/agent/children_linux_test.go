package agent

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// gone reports whether a process has been reaped.
func gone(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return os.IsNotExist(err)
}

// TestReapingLeavesOwnChildren holds strangers behind an own child that has ended too,
// which is what the system shows first.
func TestReapingLeavesOwnChildren(t *testing.T) {
	var kin children
	own := exec.Command("/bin/sh", "-c", "exit 7")
	if err := kin.start(own); err != nil {
		t.Fatal(err)
	}
	awaitEnd(own)
	var strangers []*exec.Cmd
	for range 20 {
		cmd := exec.Command("/bin/sh", "-c", "exit 3")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitEnd(cmd)
		strangers = append(strangers, cmd)
	}
	kin.reapStrangers()
	for _, cmd := range strangers {
		if !gone(cmd.Process.Pid) {
			t.Errorf("%d is left", cmd.Process.Pid)
		}
		_ = cmd.Wait() // lets go of what Go holds of it
	}
	kin.reap(own)
	if code := own.ProcessState.ExitCode(); code != 7 {
		t.Errorf("its own child ended with code %d, want 7", code)
	}
	stranger := exec.Command("/bin/sh", "-c", "exit 3")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	awaitEnd(stranger)
	kin.reapStrangers()
	if !gone(stranger.Process.Pid) {
		t.Error("a stranger is left once no own child hides it")
	}
	_ = stranger.Wait()
}

// TestReapingIsNoRace has own children end among strangers, reaped all the while.
func TestReapingIsNoRace(t *testing.T) {
	var kin children
	stop := reapAlways(&kin)
	defer stop()
	for n := range 100 {
		stranger := exec.Command("/bin/true")
		own := exec.Command("/bin/sh", "-c", fmt.Sprintf("exit %d", n))
		if err := kin.start(own); err != nil {
			t.Fatal(err)
		}
		if err := func() error { // its start reports on a pipe, so that it may be reaped before it is known
			kin.mu.Lock()
			defer kin.mu.Unlock()
			return stranger.Start()
		}(); err != nil {
			t.Fatal(err)
		}
		awaitEnd(own)
		kin.reap(own)
		if code := own.ProcessState.ExitCode(); code != n {
			t.Fatalf("ended with code %d, want %d", code, n)
		}
		_ = stranger.Wait()
	}
}

// TestGroupAlive tells an ended leader from what it leaves in its group.
func TestGroupAlive(t *testing.T) {
	command, open := gate(t)
	p, err := launch(leaver(command), &children{})
	if err != nil {
		t.Fatal(err)
	}
	go p.read(newBacklog(1, 0))
	await(t, p.exited, "the end of the leader")
	leader := p.cmd.Process.Pid
	if gone(leader) {
		t.Error("the leader is reaped, and its number free for others")
	}
	if !groupAlive(leader) {
		t.Error("the one it left behind is not seen")
	}
	open()
	<-p.drained
	p.stop(patient, nil)
	if groupAlive(leader) {
		t.Error("a group with an ended leader alone is said to live")
	}
	p.drain(t.Context(), newBacklog(1, 0), patient)
	if !gone(leader) {
		t.Error("the leader is not reaped")
	}
	p.signal(syscall.SIGKILL) // reaches nobody, whoever has the number now
}

// leaver is a leader that ends at once, and leaves a shell that waits.
func leaver(wait string) command {
	return command{argv: []string{"bash", "-c", "(" + wait + ") & exit 0"}, env: environment{"PATH": os.Getenv("PATH")}}
}

// TestRun3NoSignalAfterTheRelease plays a number that was reused: the signal of a
// released process must not reach whoever has it.
func TestRun3NoSignalAfterTheRelease(t *testing.T) {
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: other, released: true}
	p.signal(syscall.SIGKILL)
	p.released = false
	p.signal(syscall.SIGTERM)
	_ = other.Wait()
	if status, _ := other.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGTERM {
		t.Errorf("ended by %v", status.Signal())
	}
}

func TestParseStat(t *testing.T) {
	for text, want := range map[string]kin{
		"12 (sh) S 3 4 5 0 -1":           {12, 3, 4, false},
		"12 (a) b ( Z 9 9) Z 3 4 5 0 -1": {12, 3, 4, true},
		"12 (gone) X 3 4":                {12, 3, 4, true},
	} {
		if got, ok := parseStat([]byte(text)); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "12", "12 (sh", "12 (sh) S 3", "x (sh) S 3 4", "12 (sh) S x 4", ") ("} {
		if got, ok := parseStat([]byte(text)); ok {
			t.Errorf("%q: %v", strings.TrimSpace(text), got)
		}
	}
}
