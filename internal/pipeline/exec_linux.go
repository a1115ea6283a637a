package pipeline

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysProcAttr makes a process the leader of a session, and has it asked to end when
// its parent dies: asked, so that it can end its task before itself.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
}

// awaitEnd returns once a child has ended, and leaves it to be reaped: until then
// nobody else gets its number.
func awaitEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// sweep kills what is left in the session of an ended leader that is not reaped yet:
// a task whose agent was killed, above all. What left the session has left us.
func sweep(leader int) {
	for range 100 { // what is killed may have forked meanwhile
		members := sessionMembers(leader)
		if len(members) == 0 {
			return
		}
		for _, pid := range members {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// sessionMembers lists the living processes of a session, without its leader.
func sessionMembers(leader int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is a good one
	var members []int
	for _, path := range stats {
		pid, session, alive := readStat(path)
		if alive && session == leader && pid != leader {
			members = append(members, pid)
		}
	}
	return members
}

// readStat reads a process's number and session; alive is false where it has ended.
func readStat(path string) (pid, session int, alive bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, false
	}
	// "pid (name) state ppid pgrp session …"; the name may hold anything.
	open, end := bytes.IndexByte(text, ' '), bytes.LastIndexByte(text, ')')
	if open < 0 || end < 0 {
		return 0, 0, false
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 4 {
		return 0, 0, false
	}
	pid, _ = strconv.Atoi(string(text[:open]))
	session, _ = strconv.Atoi(string(fields[3]))
	return pid, session, fields[0][0] != 'Z' && fields[0][0] != 'X'
}
