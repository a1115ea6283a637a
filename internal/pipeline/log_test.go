package pipeline

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/terminal"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// golden compares what was printed with a file. Lines of different tasks come in any
// order, so those before the table are brought into the order of the tasks.
func golden(t *testing.T, name, got string) {
	t.Helper()
	live, table, _ := strings.Cut(got, "\n\n")
	lines := strings.Split(live, "\n")
	slices.SortStableFunc(lines[1:], func(a, b string) int {
		return strings.Compare(strings.Fields(a)[0], strings.Fields(b)[0])
	})
	got = strings.Join(lines, "\n") + "\n\n" + table
	path := "testdata/" + name + ".golden"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("output:\n%s\nwant:\n%s", got, want)
	}
}

// everyKind prints one of each kind of record.
func everyKind(a *agentSim) Exit {
	a.report(running, 0, "")
	a.print("stdout", "416 zones")
	a.print("stdout", "")
	a.print("stderr", "a warning")
	a.print("agent", "retrying")
	a.print("audit\x1b", "another stream")
	a.print("stdout", "\x1b[2J\r\a\x00\x7f\u0085 \u202etxt\u202c tab\there\nforged │ line")
	for _, r := range []*controlv1.LogRecord{
		{Stream: "stdout", Message: strings.Repeat("x", 8) + "…", Cut: true},
		{Stream: "stdout", Mark: controlv1.LogMark_LOG_MARK_GAP, LineNumber: 5, GapThrough: 9},
		{Stream: "stderr", Mark: controlv1.LogMark_LOG_MARK_GAP, LineNumber: 2, GapThrough: 2},
		{Stream: "stdout", Mark: controlv1.LogMark_LOG_MARK_RESTART},
		{Stream: "stdout", Mark: 99},
	} {
		a.plane.log(a.task, a.try, r)
	}
	a.report(success, 0, "")
	return Exit{}
}

func goldenScene(t *testing.T) *scene {
	s := newScene(t, "extract:", "世界-é́:", "bad:", "next: bad")
	s.launcher.scripts["extract"] = everyKind
	s.launcher.scripts["bad"] = func(a *agentSim) Exit {
		a.report(running, 0, "")
		a.report(failed, 3, "exited with code 3: \x1b[31m"+strings.Repeat("long ", 40)+"\nmore")
		return Exit{}
	}
	return s
}

func TestLog8OutputGolden(t *testing.T) {
	s := goldenScene(t)
	s.mustRun()
	if strings.ContainsAny(s.out.String(), "\x1b\r\a\x00\x7f\u0085\u202e") {
		t.Errorf("control characters in the output: %q", s.out.String())
	}
	golden(t, "plain", s.out.String())
}

func TestLog8ColourGolden(t *testing.T) {
	s := goldenScene(t)
	s.opts.Color = true
	s.mustRun()
	golden(t, "colour", s.out.String())
}

// TestLog11AllLinesBeforeTheTable breaks the stream of the log again and again: it is
// read on from where it broke, each line once, and all before the table.
func TestLog11AllLinesBeforeTheTable(t *testing.T) {
	s := newScene(t, "a:")
	s.plane.readLimit = 2
	s.launcher.scripts["a"] = func(a *agentSim) Exit {
		for i := range 21 {
			a.print("stdout", fmt.Sprint("line ", i))
		}
		return succeed(a)
	}
	s.mustRun()
	var want strings.Builder
	want.WriteString("scene: run run, 1 task\n")
	for i := range 21 {
		fmt.Fprintln(&want, "a │ line", i)
	}
	want.WriteString("a │ this is a\n\nTASK  STATE    TRY  DURATION  CAUSE\na     success  1    1.50s\n\nTIMELINE ")
	if got := s.out.String(); !strings.HasPrefix(got, want.String()) {
		t.Errorf("output:\n%s\nwant:\n%s", got, want.String())
	}
}

// TestALongNamePushesNoOtherLineAside holds that the lines of others stay short.
func TestALongNamePushesNoOtherLineAside(t *testing.T) {
	long := strings.Repeat("n", 3*maxName)
	s := newScene(t, long+":", "b:")
	s.mustRun()
	for _, line := range []string{long + " │ this is " + long + "\n", "\nb" + strings.Repeat(" ", maxName-1) + " │ this is b\n"} {
		if !strings.Contains(s.out.String(), line) {
			t.Errorf("no line %q:\n%s", line, s.out.String())
		}
	}
}

func TestLogThatCannotBeReadIsTold(t *testing.T) {
	s := newScene(t, "a:")
	s.plane.refuse = func(call any) error {
		if _, ok := call.(*controlv1.ReadLogRequest); ok {
			return status.Error(codes.Internal, "internal server error")
		}
		return nil
	}
	wantStates(t, s.mustRun(), "a=success")
	if out := s.out.String(); !strings.Contains(out, "a ╌ the rest of the log could not be read: internal server error (internal)\n") {
		t.Errorf("output:\n%s", out)
	}
}

// telling is an output that tells when a text is in it.
type telling struct {
	out  strings.Builder
	text string
	told chan struct{}
}

func (w *telling) Write(b []byte) (int, error) {
	before := strings.Contains(w.out.String(), w.text)
	w.out.Write(b)
	if !before && strings.Contains(w.out.String(), w.text) {
		close(w.told)
	}
	return len(b), nil
}

// TestLogWithoutAnEndIsGivenUp once the task has ended, and not before what it printed is
// there.
func TestLogWithoutAnEndIsGivenUp(t *testing.T) {
	s := newScene(t, "a:", "b: a")
	s.plane.openLogs = true
	s.opts.pace.quiet = 50 * time.Millisecond
	shown := &telling{text: "a │ this is a\n", told: make(chan struct{})}
	s.opts.Out = shown
	s.launcher.scripts["a"] = func(a *agentSim) Exit {
		a.report(running, 0, "")
		a.print("stdout", "this is a")
		<-shown.told
		a.report(success, 0, "")
		return Exit{}
	}
	wantStates(t, s.mustRun(), "a=success b=success")
	if out := shown.out.String(); !strings.Contains(out, "a │ this is a\n") || !strings.Contains(out, "could not be read: it did not end\n") {
		t.Errorf("output:\n%s", out)
	}
}

func TestDurationsAreBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.00s", 1234 * time.Millisecond: "1.23s", 12340 * time.Millisecond: "12.3s",
		125 * time.Second: "2m05s", 3*time.Hour + 4*time.Minute + 40*time.Second: "3h05m",
	} {
		if got := briefly(d); got != want {
			t.Errorf("briefly(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestLostMessageIsOneShortLine(t *testing.T) {
	why := TaskResult{State: domain.TaskStateFailed, Cause: domain.CauseLost, ExitCode: -9, Message: "世界 " + strings.Repeat("世", 200) + "\nmore"}.why()
	if terminal.Cells(why) > maxWhy || strings.ContainsRune(why, '\n') || !strings.HasPrefix(why, "lost (code -9): 世界") || !strings.HasSuffix(why, "…") {
		t.Errorf("%d cells: %q", terminal.Cells(why), why)
	}
}
