package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
)

// openLogs opens logs of their own, one a task.
func openLogs(t *testing.T, d *Dir, count int) []*writer {
	t.Helper()
	writers := make([]*writer, count)
	for i := range writers {
		ref := testRef
		ref.TaskID = fmt.Sprint("task-", i)
		w, err := d.open(testContext(t), ref, true)
		if err != nil {
			t.Fatal(err)
		}
		writers[i] = w
	}
	return writers
}

// awaitCalm waits until nothing of a log is queued, and its committer has ended.
func awaitCalm(t *testing.T, l *attemptLog) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.committing {
		calm := l.calm.wait()
		l.mu.Unlock()
		wait(t, calm)
		l.mu.Lock()
	}
}

// TestLog6MoreLogsThanDescriptorsWaitForEachOther has the disk be slow with the one batch
// that may be under way.
func TestLog6MoreLogsThanDescriptorsWaitForEachOther(t *testing.T) {
	d, f := faultyDir(t, Options{OpenFiles: 1})
	syncing, open := f.gated(t)
	writers := openLogs(t, d, 4)
	for _, w := range writers {
		put(t, w, "stdout", 1)
	}
	wait(t, syncing)
	select {
	case <-syncing:
		t.Error("two are written at once")
	default:
	}
	open()
	for _, w := range writers {
		awaitAck(t, w, "stdout", 1)
		mustClose(t, w)
	}
}

// TestLog1ALogThatFailsKeepsNoDescriptor from others, nor a file whose end nobody knows.
func TestLog1ALogThatFailsKeepsNoDescriptor(t *testing.T) {
	for name, fault := range map[string]func(*faults, error){
		"write":  func(f *faults, err error) { f.write = err },
		"sync":   func(f *faults, err error) { f.sync = err },
		"create": func(f *faults, err error) { f.create = err },
	} {
		t.Run(name, func(t *testing.T) {
			d, f := faultyDir(t, Options{OpenFiles: 1, SegmentBytes: 1})
			writers := openLogs(t, d, 2)
			bad, good := writers[0], writers[1]
			put(t, bad, "stdout", 1)
			awaitAck(t, bad, "stdout", 1)
			f.set(func(f *faults) { fault(f, errDisk) })
			lineUntilFailure(t, bad)
			f.set(func(f *faults) { fault(f, nil) })
			put(t, good, "stdout", 1, 2)
			awaitAck(t, good, "stdout", 2)
			if err := bad.Close(); !errors.Is(err, errDisk) {
				t.Errorf("the one that failed ends with %v", err)
			}
			mustClose(t, good)
			again, err := d.open(testContext(t), bad.log.ref, true)
			if err != nil {
				t.Fatal(err)
			}
			put(t, again, "stdout", 2)
			awaitAck(t, again, "stdout", 2)
			mustClose(t, again)
		})
	}
}

// TestLog1AQuietLogThatIsGoneIsNotWrittenAnew: its file was closed, and is there no more.
func TestLog1AQuietLogThatIsGoneIsNotWrittenAnew(t *testing.T) {
	d := testDir(t, Options{OpenFiles: 1})
	writers := openLogs(t, d, 2)
	gone, other := writers[0], writers[1]
	put(t, gone, "stdout", 1)
	awaitAck(t, gone, "stdout", 1)
	put(t, other, "stdout", 1)
	awaitAck(t, other, "stdout", 1)
	if err := os.RemoveAll(gone.log.path); err != nil {
		t.Fatal(err)
	}
	lineUntilRefused(t, gone)
	if err := gone.Close(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the call ends with %v", err)
	}
	mustClose(t, other)
}

// lineUntilRefused appends from number 2 until the writer fails.
func lineUntilRefused(t *testing.T, w LineWriter) {
	t.Helper()
	for n := int64(2); ; n++ {
		if err := w.Append(testContext(t), testLine("stdout", n)); err != nil {
			return
		}
	}
}

// TestLog5WhoAsksLateIsTold of acks and of a take-over that were before anybody waited.
func TestLog5WhoAsksLateIsTold(t *testing.T) {
	d := testDir(t, Options{})
	w := openLogs(t, d, 1)[0]
	put(t, w, "stdout", 1)
	awaitCalm(t, w.log)
	wait(t, w.Ready())
	equal(t, []Ack{{Stream: "stdout", Through: 1}}, w.Acks())
	next, err := d.open(testContext(t), w.log.ref, true)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, w.Superseded())
	mustClose(t, next)
	mustClose(t, w)
}
