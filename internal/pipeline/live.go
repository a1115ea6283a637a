package pipeline

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// clearLine goes to the beginning of the line and clears it.
const clearLine = "\r\x1b[K"

// liveLine is a line at the bottom of a terminal that says how far the run is. Its
// fields are guarded by the lock of the lines that it is below.
type liveLine struct {
	width func() int
	now   func() time.Time
	paint func(text string) string

	total  int
	states map[string]domain.TaskState
	began  time.Time
	shown  string // what stands on the terminal; empty: nothing

	stop   chan struct{} // closed: no more ticks
	ticker sync.WaitGroup
}

// around returns what writes text above the line, and draws the line anew. It is
// empty where nothing would change.
func (s *liveLine) around(text string) string {
	line := s.text()
	if text == "" && line == s.shown {
		return ""
	}
	if s.shown != "" {
		text = clearLine + text
	}
	if s.shown = line; line != "" {
		text += s.paint(line)
	}
	return text
}

// text is the line; empty before the run began and after its end. It leaves the last
// cell free, so that no terminal wraps it.
func (s *liveLine) text() string {
	if s.began.IsZero() {
		return ""
	}
	n := map[domain.TaskState]int{}
	done, running := 0, 0
	for _, state := range s.states {
		n[state]++
		switch {
		case state.Terminal():
			done++
		case state.Live():
			running++
		}
	}
	parts := []string{fmt.Sprintf("%d running", running), fmt.Sprintf("%d/%d done", done, s.total)}
	if failed := n[domain.TaskStateFailed]; failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", failed))
	}
	if waiting := n[domain.TaskStateUpForRetry]; waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d to be tried again", waiting))
	}
	parts = append(parts, s.now().Sub(s.began).Truncate(time.Second).String())
	return terminal.Shorten(strings.Join(parts, ", "), max(1, s.width()-1))
}

// begin draws the line, and has it drawn each second.
func (s *liveLine) begin(l *lines, total int) {
	s.total, s.began = total, s.now()
	s.ticker.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.write("")
			case <-s.stop:
				return
			}
		}
	})
}

// end takes the line away.
func (s *liveLine) end(l *lines) {
	if l.live == nil {
		return
	}
	close(s.stop)
	s.ticker.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.began = time.Time{}
	l.put("")
	l.live = nil
}
