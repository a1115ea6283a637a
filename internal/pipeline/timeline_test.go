package pipeline

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// spans are tries of a task, each given by when it was launched, began to run and
// ended, in seconds since the epoch of these tests, and by how it ended.
func spans(tries ...[3]float64) []span {
	at := func(s float64) time.Time {
		if s < 0 {
			return time.Time{}
		}
		return epoch.Add(time.Duration(s * float64(time.Second)))
	}
	var out []span
	for i, s := range tries {
		state := domain.TaskStateFailed
		if i == len(tries)-1 {
			state = domain.TaskStateSuccess
		}
		out = append(out, span{try: i + 1, state: state, queued: at(s[0]), started: at(s[1]), ended: at(s[2])})
	}
	return out
}

var timed = Result{Tasks: []TaskResult{
	{ID: "extract", State: domain.TaskStateSuccess, tries: spans([3]float64{0, 0.5, 2})},
	{ID: "flaky", State: domain.TaskStateSuccess, tries: spans([3]float64{2, 2.2, 3}, [3]float64{5, 5.2, 6}, [3]float64{10, 10.5, 12})},
	{ID: "instant\x1b", State: domain.TaskStateSuccess, tries: spans([3]float64{2, 2, 2}, [3]float64{2, 2, 2}, [3]float64{2, 2, 2})},
	{ID: "a task whose name is longer than any row has room for", State: domain.TaskStateFailed, tries: spans([3]float64{11.9, -1, -1})},
	{ID: "late", State: domain.TaskStateSuccess, tries: spans([3]float64{12, 12, 12})},
	{ID: "never", State: domain.TaskStateSkipped},
}}

func TestTimelineGolden(t *testing.T) {
	var b strings.Builder
	for _, width := range []int{80, 120, 1} {
		b.WriteString(timeline(timed, width, func(_ int, row string) string { return row }) + "\n")
	}
	const path = "testdata/timeline.golden"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("timeline:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestTimelineIsAsWideAsTheTerminal(t *testing.T) {
	for _, width := range []int{70, 80, 133} {
		drawn := timeline(timed, width, func(_ int, row string) string { return row })
		lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
		for _, line := range lines[:len(lines)-1] {
			if n := terminal.Cells(line); n > width {
				t.Errorf("width %d: %d cells: %s", width, n, line)
			}
		}
		if n := terminal.Cells(lines[0]); n != width {
			t.Errorf("width %d: the scale is %d wide", width, n)
		}
	}
}

func TestNoTimelineOfNothing(t *testing.T) {
	if got := timeline(Result{Tasks: []TaskResult{{ID: "a"}}}, 80, nil); got != "" {
		t.Errorf("%q", got)
	}
}
