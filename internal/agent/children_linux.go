package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of what its tasks leave behind, so that
// it can reap it: there may be no init that does (in a container).
func adoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// taskAttr makes a task's process the leader of a group, and has it killed when its
// agent dies: nobody would stop it any more, and a retry may run beside it. That
// reaches the leader alone. What it started goes on to its own end, unless whoever
// launched the agent ends that too, as a container does.
func taskAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitEnd returns once a command's process has ended, and leaves it to be reaped:
// until then nobody else gets its number.
func awaitEnd(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// groupAlive reports whether a process group has a living member beside its leader,
// which must have ended and not been reaped. Where /proc does not tell, it says yes.
func groupAlive(leader int) bool {
	all, known := processes()
	for _, p := range all {
		if p.group == leader && p.pid != leader && !p.ended {
			return true
		}
	}
	return !known
}

// reapStrangers reaps every child that has ended and is not one that this agent started.
func (c *children) reapStrangers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		pid := endedChild()
		if pid <= 0 {
			return
		}
		if c.mine[pid] { // it hides the others, as it is left unreaped for now
			break
		}
		reapOne(pid)
	}
	all, _ := processes()
	self := os.Getpid()
	for _, p := range all {
		if p.parent == self && p.ended && !c.mine[p.pid] {
			reapOne(p.pid)
		}
	}
}

// endedChild returns a child that has ended, and leaves it to be reaped; 0: there is none.
func endedChild() int {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0
		}
		// Three numbers, then a union that is aligned as a pointer and begins with the pid.
		raw := (*[unsafe.Sizeof(info)]byte)(unsafe.Pointer(&info)) //nolint:gosec // its fields have no names
		at := max(3*4, 2*unsafe.Sizeof(uintptr(0)))
		return int(int32(binary.NativeEndian.Uint32(raw[at:]))) //nolint:gosec // as the system has it
	}
}

func reapOne(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// kin is a process as /proc shows it.
type kin struct {
	pid, parent, group int
	ended              bool // and not reaped
}

// processes lists those of this system; false: /proc is not that of this process.
func processes() ([]kin, bool) {
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return nil, false
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is a good one
	all := make([]kin, 0, len(stats))
	for _, path := range stats {
		if text, err := os.ReadFile(path); err == nil { // else it has gone meanwhile
			if k, ok := parseStat(text); ok {
				all = append(all, k)
			}
		}
	}
	return all, true
}

// parseStat reads "pid (name) state parent group …"; the name may hold anything.
func parseStat(text []byte) (kin, bool) {
	open, end := bytes.IndexByte(text, ' '), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return kin{}, false
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 3 {
		return kin{}, false
	}
	pid, err1 := strconv.Atoi(string(text[:open]))
	parent, err2 := strconv.Atoi(string(fields[1]))
	group, err3 := strconv.Atoi(string(fields[2]))
	return kin{pid, parent, group, fields[0][0] == 'Z' || fields[0][0] == 'X'}, errors.Join(err1, err2, err3) == nil
}
