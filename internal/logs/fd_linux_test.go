package logs

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// descriptors counts the process's open files below dir.
func descriptors(t *testing.T, dir string) int {
	t.Helper()
	own, err := os.Open("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close() //nolint:errcheck // not before: what takes its number next would be counted too
	names, err := own.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", name))
		if err == nil && strings.HasPrefix(target, dir) { // an error: closed since
			n++
		}
	}
	return n
}

func TestLog6DescriptorsAreBounded(t *testing.T) {
	d := testDir(t, Options{SegmentBytes: 2000, QueueLines: 10})
	w := begin(t, d)
	put(t, w, "stdout", 1)
	awaitAck(t, w, "stdout", 1)
	ctx := testContext(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := d.Read(ctx, testRef, 0, 10); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := int64(2); n <= 300; n++ {
		put(t, w, "stdout", n)
		if got := descriptors(t, d.opts.Root); got > 3 {
			t.Errorf("%d descriptors", got)
			break
		}
	}
	close(stop)
	wg.Wait()
	mustClose(t, w)
	equal(t, 0, descriptors(t, d.opts.Root))
}

// TestLog6DescriptorsAreBoundedHoweverManyLogsAreOpen has more logs written to at once, and
// in turn, than may keep their files open, across segments.
func TestLog6DescriptorsAreBoundedHoweverManyLogsAreOpen(t *testing.T) {
	const most, logs, lines = 3, 20, 10
	d := testDir(t, Options{OpenFiles: most, SegmentBytes: 300})
	writers := openLogs(t, d, logs)
	equal(t, 0, descriptors(t, d.opts.Root))
	for n := int64(1); n <= lines; n++ {
		for _, w := range writers {
			put(t, w, "stdout", n)
		}
		if got := descriptors(t, d.opts.Root); got > 2*most { // who begins a segment syncs its directory
			t.Fatalf("%d descriptors while logs are written", got)
		}
		for _, w := range writers {
			awaitAck(t, w, "stdout", n)
			awaitCalm(t, w.log) // the head of a segment may be behind the line
		}
		if got := descriptors(t, d.opts.Root); got > most {
			t.Fatalf("%d descriptors", got)
		}
	}
	for _, w := range writers {
		mustClose(t, w)
		got, err := d.Read(testContext(t), w.log.ref, 0, 2*lines)
		if err != nil || len(got) != lines || got[lines-1].Number != lines {
			t.Errorf("%s: %d records, %v", w.log.ref.TaskID, len(got), err)
		}
	}
	equal(t, 0, descriptors(t, d.opts.Root))
}

// TestLog6AQuietLogHasNoGoroutineAndNoBuffer once what came is stored, and takes lines again.
func TestLog6AQuietLogHasNoGoroutineAndNoBuffer(t *testing.T) {
	d := testDir(t, Options{OpenFiles: 1})
	writers := openLogs(t, d, 3)
	for n := int64(1); n <= 2; n++ {
		for _, w := range writers {
			put(t, w, "stdout", n)
			awaitAck(t, w, "stdout", n)
			l := w.log
			awaitCalm(t, l)
			l.mu.Lock()
			if l.pending != nil || l.file != nil {
				t.Errorf("it holds a buffer of %d bytes, and %v", cap(l.pending), l.file)
			}
			l.mu.Unlock()
		}
	}
	for _, w := range writers {
		mustClose(t, w)
	}
}
