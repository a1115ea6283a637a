package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of processor time in /proc, which Linux fixed at 100.
const ticksPerSecond = 100

// Spent is what processes spent so far.
type Spent struct {
	// CPU is processor time, of user and system.
	CPU time.Duration
	// RSS is resident memory now, in bytes.
	RSS int64
	// Files is how many file descriptors are open now.
	Files int
}

// SpentBy is what a process and all that descend from it spent. It reads /proc, so it
// takes Linux. A process that has ended counts with its parent, once that knows.
func SpentBy(pid int) (Spent, error) {
	children, err := childrenOf()
	if err != nil {
		return Spent{}, err
	}
	var out Spent
	todo := []int{pid}
	for len(todo) > 0 {
		one := todo[0]
		todo = append(todo[1:], children[one]...)
		cpu, err := cpuOf(one)
		if err != nil {
			continue
		}
		out.CPU += cpu
		out.RSS += rssOf(one)
		open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", one)) // it may have ended meanwhile
		out.Files += len(open)
	}
	return out, nil
}

func childrenOf() (map[int][]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return nil, fmt.Errorf("processes cannot be read from /proc: %w", err)
	}
	out := map[int][]int{}
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if fields := statOf(pid); len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			out[parent] = append(out[parent], pid)
		}
	}
	return out, nil
}

// statOf is the fields of /proc/PID/stat after the name, which may hold anything.
func statOf(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
}

func cpuOf(pid int) (time.Duration, error) {
	fields := statOf(pid)
	if len(fields) < 15 {
		return 0, fmt.Errorf("process %d is not there", pid)
	}
	var ticks int64
	for _, field := range fields[11:15] { // of user and system, its own and of those that it waited for
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process %d: its times are no numbers", pid)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

func rssOf(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
