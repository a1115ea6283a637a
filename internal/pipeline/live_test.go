package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// screen is a terminal that understands what the live line needs, and nothing else.
type screen struct {
	t      *testing.T
	width  int
	mu     sync.Mutex
	lines  []string // above the cursor's
	line   string   // the cursor's, which the cursor is at the beginning or the end of
	home   bool
	bottom []string // what stood in the last line after each write
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text := string(b); text != ""; {
		switch {
		case strings.HasPrefix(text, "\r"):
			s.home, text = true, text[1:]
		case strings.HasPrefix(text, "\x1b[K") && s.home:
			s.line, text = "", text[3:]
		case text[0] == '\n':
			s.lines, s.line, text = append(s.lines, s.line), "", text[1:]
		default:
			end := strings.IndexAny(text, "\r\n\x1b")
			if end == 0 || s.home && s.line != "" {
				s.t.Errorf("written over what stood there: %q, over %q", text, s.line)
				return len(b), nil
			}
			if end < 0 {
				end = len(text)
			}
			s.line, s.home, text = s.line+text[:end], false, text[end:]
		}
	}
	if terminal.Cells(s.line) >= s.width {
		s.t.Errorf("the live line fills the width of %d: %q", s.width, s.line)
	}
	s.bottom = append(s.bottom, s.line)
	return len(b), nil
}

func liveScene(t *testing.T, width int) (*scene, *screen) {
	s := newScene(t, "first:", "second: first")
	s.task("second").Retry = file.Retry{Times: 1}
	s.launcher.scripts["second"] = failing(1)
	at := &screen{t: t, width: width}
	s.opts.Out, s.opts.Live, s.opts.Width = at, true, func() int { return width }
	s.opts.now = func() time.Time { return epoch }
	return s, at
}

// TestLiveLineNeverMixes holds that what is left on the terminal is what a run without
// the live line prints.
func TestLiveLineNeverMixes(t *testing.T) {
	s, at := liveScene(t, 80)
	s.mustRun()
	want, _ := liveScene(t, 80)
	want.opts.Out, want.opts.Live = &want.out, false
	want.mustRun()
	got, plain := append(at.lines, at.line), strings.Split(want.out.String(), "\n")
	slices.Sort(got) // lines of different tasks come in any order
	slices.Sort(plain)
	if !slices.Equal(got, plain) {
		t.Errorf("the terminal shows\n%q\nwant\n%q", got, plain)
	}
	for _, line := range []string{"0 running, 0/2 done, 0s", "1 running, 1/2 done, 0s", "0 running, 1/2 done, 1 to be tried again, 0s"} {
		if !strings.Contains(strings.Join(at.bottom, "\n"), line) {
			t.Errorf("never showed %q: %q", line, at.bottom)
		}
	}
}

func TestLiveLineFitsTheWidth(t *testing.T) {
	for _, width := range []int{1, 2, 10, 24} {
		s, at := liveScene(t, width)
		if width == 1 {
			at.width = 2 // a cell there must be
		}
		s.mustRun()
	}
}

// TestLiveLineIsDrawnOnceAChange also counts the elapsed time.
func TestLiveLineIsDrawnOnceAChange(t *testing.T) {
	now := epoch
	var out strings.Builder
	l := newLines(&out)
	l.live = &liveLine{
		width: func() int { return 80 }, now: func() time.Time { return now },
		paint: func(text string) string { return "<" + text + ">" }, states: map[string]domain.TaskState{},
	}
	l.write("before\n")
	l.live.began, l.live.total = epoch, 3
	l.write("")
	l.write("")
	now = now.Add(90 * time.Second)
	l.live.states["a"], l.live.states["b"] = domain.TaskStateFailed, domain.TaskStateRunning
	l.write("")
	l.write("line\n")
	want := "before\n<0 running, 0/3 done, 0s>" + clearLine + "<1 running, 1/3 done, 1 failed, 1m30s>" +
		clearLine + "line\n<1 running, 1/3 done, 1 failed, 1m30s>"
	if out.String() != want {
		t.Errorf("%s", fmt.Sprintf("wrote %q\nwant  %q", out.String(), want))
	}
}
