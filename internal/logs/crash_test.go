package logs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// crashDirEnv makes the test binary a server that is to be killed, and crashSharedEnv one
// of several.
const (
	crashDirEnv    = "LEOFLOW_LOGS_CRASH_DIR"
	crashSharedEnv = "LEOFLOW_LOGS_CRASH_SHARED"
)

var crashStreams = []string{"stdout", "stderr"}

// crashChild appends lines for ever and prints every ack.
func crashChild(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	d, err := NewDir(Options{Root: dir, SegmentBytes: 32 << 10, Shared: os.Getenv(crashSharedEnv) != ""})
	fail(err)
	w, err := d.OpenLines(context.Background(), testRef)
	fail(err)
	go func() {
		for range w.Ready() {
			for _, a := range w.Acks() {
				fmt.Println(a.Stream, a.Through)
			}
		}
	}()
	for n := int64(1); ; n++ {
		for _, stream := range crashStreams {
			fail(w.Append(context.Background(), testLine(stream, n)))
		}
	}
}

// crashed runs a child until it has acked enough, kills it, and returns its last acks.
func crashed(t *testing.T, dir string, enough int64) map[string]int64 {
	t.Helper()
	return endedBy(t, dir, enough, func(cmd *exec.Cmd) error { return cmd.Process.Kill() })
}

// endedBy is crashed with another end, and with more of the environment.
func endedBy(t *testing.T, dir string, enough int64, end func(*exec.Cmd) error, env ...string) map[string]int64 {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), os.Args[0])
	cmd.Env = append(append(os.Environ(), crashDirEnv+"="+dir), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acks := map[string]int64{}
	var kill sync.Once
	for lines := bufio.NewScanner(out); lines.Scan(); {
		stream, number, ok := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil {
			continue // the line it died in
		}
		acks[stream] = n
		if n > enough {
			kill.Do(func() { err = end(cmd) })
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if acks["stdout"] <= enough && acks["stderr"] <= enough {
		t.Fatalf("the child ended by itself: %v", acks)
	}
	return acks
}

func TestLog1AckedLinesSurviveKill(t *testing.T) {
	dir := t.TempDir()
	acks := map[string]int64{}
	// Each child resends from 1, as its lines have the same time and text.
	for _, enough := range []int64{1, 700, 3000} {
		for stream, n := range crashed(t, dir, enough) {
			acks[stream] = max(acks[stream], n)
		}
		d := testDir(t, Options{Root: dir})
		last := map[string]int64{}
		for _, r := range readAll(t, d) {
			if r.Mark != "" || r.Number != last[r.Stream]+1 || r.Message != fmt.Sprint("line ", r.Number) {
				t.Fatalf("after line %d: %+v", last[r.Stream], r)
			}
			last[r.Stream] = r.Number
		}
		for _, stream := range crashStreams {
			if last[stream] < acks[stream] {
				t.Fatalf("%s: acked through %d, kept through %d", stream, acks[stream], last[stream])
			}
		}
		mustClose(t, d)
	}
}
