package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// places are a process among others, which adopts what its task orphans, and, where
// this machine lets the test make one, the first process of a system of its own.
func places(t *testing.T) []place {
	t.Helper()
	all := []place{{
		"among others", func(*exec.Cmd) {},
		func(cmd *exec.Cmd) string { return strconv.Itoa(cmd.Process.Pid) },
	}}
	if err := canBeFirst(); err != nil {
		t.Logf("no system of its own for the agent to be the first process of: %v", err)
		return all
	}
	return append(all, place{"as process 1", makeFirst, func(*exec.Cmd) string { return "1" }})
}

var canBeFirst = sync.OnceValue(func() error {
	probe := exec.Command("/bin/true")
	makeFirst(probe)
	return probe.Run()
})

// makeFirst has a command be process 1 of a process namespace, with its /proc.
func makeFirst(cmd *exec.Cmd) {
	const setUp = `mount --make-rprivate / && mount -t proc proc /proc && exec "$0" "$@"`
	cmd.Args = append([]string{"/bin/sh", "-c", setUp, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
}

// TestFirstProcessReapsOrphans has a task wait for orphans of another session to be
// reaped, which ended before their time or after, and tell of it by its own exit code.
func TestFirstProcessReapsOrphans(t *testing.T) {
	const script = `
for i in 1 2 3 4 5 6 7 8; do
	orphan=$( (setsid true & echo $!) )
	until [ ! -e /proc/$orphan ]; do :; done
done
echo reaped
for i in {1..100}; do (true &); done # some end with the task
exit 7`
	for _, place := range places(t) {
		t.Run(place.name, func(t *testing.T) {
			b := newBare(script)
			r := command(t, b)
			place.put(r.cmd)
			r.start()
			r.end()
			b.wantOutcome(t, failure, 7, "exited with code 7")
			if got := b.texts("stdout"); len(got) != 1 || got[0] != "reaped" {
				t.Errorf("stdout %q", got)
			}
		})
	}
}

// nobody is the user that tests run an agent as where they run as the superuser.
const nobody = 65534

// TestStart1TaskCannotReachTheToken runs a task of the agent's user, who may look into
// any other process of theirs.
func TestStart1TaskCannotReachTheToken(t *testing.T) {
	b := newBare(`
for what in environ maps auxv fd fdinfo; do
	{ ls /proc/$PPID/$what/ || head -c 1 /proc/$PPID/$what; } > /dev/null 2>&1 && echo "reads $what"
done
{ cat <&3; } 2> /dev/null
env; tr '\0' ' ' < /proc/$$/cmdline; tr '\0' ' ' < /proc/$PPID/cmdline; echo
tr '\0' '\n' < /proc/$$/environ > /dev/null && echo "reads its own"
id -u`)
	r := command(t, b)
	uid := os.Getuid()
	if uid == 0 {
		uid = nobody
		r.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := os.Chown(r.cmd.Dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	secret, err := os.CreateTemp(t.TempDir(), "token")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = secret.Close() }()
	if _, err := secret.WriteAt([]byte("inherited "+token+"\n"), 0); err != nil {
		t.Fatal(err)
	}
	r.cmd.ExtraFiles = []*os.File{secret}
	r.start()
	r.end()
	b.wantOutcome(t, success, 0, "")
	out := b.texts("stdout")
	for n, line := range out {
		for _, not := range []string{token, "LEOFLOW_AGENT_", "reads environ", "reads maps", "reads auxv", "reads fd"} {
			if strings.Contains(line, not) {
				t.Errorf("the task sees %q", line)
			}
		}
		if n == len(out)-1 && line != strconv.Itoa(uid) || n == len(out)-2 && line != "reads its own" {
			t.Errorf("the task, of user %d, says at its end %q", uid, out[n:])
		}
	}
	if len(out) < 5 {
		t.Errorf("the task says only %q", out)
	}
}
