package faults

import (
	"strings"
	"sync"
	"testing"
)

// journal is what somebody writes to its log, line by line; tests wait for lines.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(p))
	return len(p), nil
}

// count returns how many lines hold every one of the pieces.
func (j *journal) count(pieces ...string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		all := true
		for _, piece := range pieces {
			all = all && strings.Contains(line, piece)
		}
		if all {
			n++
		}
	}
	return n
}

// more returns a wait for n lines, with every one of the pieces, that come after this.
func (j *journal) more(t *testing.T, n int, pieces ...string) (wait func()) {
	before := j.count(pieces...)
	return func() {
		t.Helper()
		eventually(t, "logged: "+strings.Join(pieces, " "), func() bool { return j.count(pieces...) >= before+n })
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "")
}
