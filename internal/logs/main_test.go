package logs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		crashChild(dir)
	}
	goleak.VerifyTestMain(m)
}

var testRef = Ref{TenantID: "t", DagID: "d", RunID: "r", TaskID: "k", TryNumber: 1}

func testDir(t *testing.T, opts Options) *Dir {
	t.Helper()
	if opts.Root == "" {
		opts.Root = t.TempDir()
	}
	d, err := NewDir(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() }) // the test looks at the errors that matter to it
	return d
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func begin(t *testing.T, d *Dir) LineWriter {
	t.Helper()
	w, err := d.OpenLines(testContext(t), testRef)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func put(t *testing.T, w LineWriter, stream string, numbers ...int64) {
	t.Helper()
	for _, n := range numbers {
		if err := w.Append(testContext(t), testLine(stream, n)); err != nil {
			t.Fatal(err)
		}
	}
}

func testLine(stream string, n int64) Line {
	at := time.Date(2026, 1, 2, 3, 4, 5, int(n%1e9), time.UTC)
	return Line{Event: Event{Time: at, Level: "info", Stream: stream, Message: fmt.Sprint("line ", n)}, Number: n}
}

func mustClose(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, d *Dir) []Record {
	t.Helper()
	var all []Record
	var pos int64
	for {
		got, err := d.Read(testContext(t), testRef, pos, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return all
		}
		all = append(all, got...)
		pos = got[len(got)-1].Next
	}
}

// numbersOf lists the numbers of the lines, and -1 for each mark.
func numbersOf(records []Record) []int64 {
	out := []int64{}
	for _, r := range records {
		if r.Mark != "" {
			out = append(out, -1)
			continue
		}
		out = append(out, r.Number)
	}
	return out
}

func equal(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}

func wait(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-testContext(t).Done():
		t.Fatal("waited in vain")
	}
}

// awaitAck waits for an ack of stream through n.
func awaitAck(t *testing.T, w LineWriter, stream string, n int64) {
	t.Helper()
	for {
		for _, a := range w.Acks() {
			if a.Stream == stream && a.Through >= n {
				return
			}
		}
		wait(t, w.Ready())
	}
}

func segmentFiles(t *testing.T, d *Dir) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(d.opts.Root, testRef.relDir(), "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
