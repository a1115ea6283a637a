package pipeline

import (
	"io"
	"sync"
)

// lines writes whole lines, and nothing more once that failed. It is safe for
// concurrent use.
type lines struct {
	failures chan error // gets the first failure to write

	mu     sync.Mutex
	out    io.Writer
	live   *liveLine // nil: there is no live line
	failed error
}

func newLines(out io.Writer) *lines { return &lines{out: out, failures: make(chan error, 1)} }

// write writes lines above the live one, which is drawn anew.
func (l *lines) write(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(text)
}

// put is write, with the lock held.
func (l *lines) put(text string) {
	if l.live != nil {
		text = l.live.around(text)
	}
	if l.failed != nil || text == "" {
		return
	}
	if _, l.failed = io.WriteString(l.out, text); l.failed != nil {
		l.failures <- l.failed // once, and there is room
	}
}

func (l *lines) broken() <-chan error { return l.failures }

// failure is the first failure to write.
func (l *lines) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}
