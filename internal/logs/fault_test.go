package logs

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

var errDisk = errors.New("the disk says no")

// faults is a disk that can be made to fail or to wait.
type faults struct {
	mu                       sync.Mutex
	write, sync, cut, create error
	syncs                    int

	// With a gate, every sync reports itself on syncing and waits for the gate.
	syncing, gate chan struct{}
}

func (f *faults) set(change func(*faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *faults) open(path string, flag int) (file, error) {
	f.mu.Lock()
	err := f.create
	f.mu.Unlock()
	if err != nil && flag&os.O_CREATE != 0 {
		return nil, err
	}
	inner, err := openFile(path, flag)
	if err != nil {
		return nil, err
	}
	return &faultyFile{inner, f}, nil
}

type faultyFile struct {
	file
	faults *faults
}

func (f *faultyFile) Write(p []byte) (int, error) {
	f.faults.mu.Lock()
	err := f.faults.write
	f.faults.mu.Unlock()
	if err != nil {
		n, _ := f.file.Write(p[:len(p)/2]) // as a full disk does
		return n, err
	}
	return f.file.Write(p)
}

func (f *faultyFile) Sync() error {
	f.faults.mu.Lock()
	err, syncing, gate := f.faults.sync, f.faults.syncing, f.faults.gate
	f.faults.syncs++
	f.faults.mu.Unlock()
	if gate != nil {
		syncing <- struct{}{}
		<-gate
	}
	if err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	f.faults.mu.Lock()
	err := f.faults.cut
	f.faults.mu.Unlock()
	if err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func faultyDir(t *testing.T, opts Options) (*Dir, *faults) {
	t.Helper()
	f := &faults{}
	d := testDir(t, opts)
	d.openFile = f.open
	return d, f
}

// gated makes every sync wait. Closing the returned channel lets them all go.
func (f *faults) gated(t *testing.T) (syncing <-chan struct{}, open func()) {
	t.Helper()
	syncing, _, open = f.metered(t)
	return syncing, open
}

// metered is gated, and lets one sync go for each value that it is given.
func (f *faults) metered(t *testing.T) (syncing <-chan struct{}, pass chan<- struct{}, open func()) {
	t.Helper()
	s, gate := make(chan struct{}, 1000), make(chan struct{})
	f.set(func(f *faults) { f.syncing, f.gate = s, gate })
	open = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open) // before the Dir's own clean-up, which waits for syncs
	return s, gate, open
}

func TestLog1WhatArrivesDuringASyncIsSyncedTogether(t *testing.T) {
	d, f := faultyDir(t, Options{})
	syncing, open := f.gated(t)
	w := begin(t, d)
	put(t, w, "stdout", 1)
	wait(t, syncing)
	for n := int64(2); n <= 500; n++ {
		put(t, w, "stdout", n)
	}
	if acks := w.Acks(); len(acks) != 0 {
		t.Fatalf("acked before the sync: %v", acks)
	}
	equal(t, 0, len(readAll(t, d)))
	open()
	awaitAck(t, w, "stdout", 500)
	f.set(func(f *faults) { equal(t, 2, f.syncs) })
	mustClose(t, w)
}

func TestLog1FailureIsStickyAndNeverAcked(t *testing.T) {
	for name, fault := range map[string]func(*faults, error){
		"sync":   func(f *faults, err error) { f.sync = err },
		"write":  func(f *faults, err error) { f.write = err },
		"create": func(f *faults, err error) { f.create = err },
	} {
		t.Run(name, func(t *testing.T) {
			d, f := faultyDir(t, Options{SegmentBytes: 200})
			w := begin(t, d)
			put(t, w, "stdout", 1, 2)
			awaitAck(t, w, "stdout", 2)
			f.set(func(f *faults) { fault(f, errDisk) })
			lost := lineUntilFailure(t, w)
			f.set(func(f *faults) { fault(f, nil) })
			if err := w.Append(testContext(t), testLine("stdout", lost)); !errors.Is(err, errDisk) {
				t.Fatalf("after the disk is well again: %v", err)
			}
			for range 2 {
				if err := w.Close(); !errors.Is(err, errDisk) {
					t.Fatalf("Close: %v", err)
				}
			}
			if acks := w.Acks(); len(acks) != 0 {
				t.Fatalf("acks after a failure: %v", acks)
			}
			resendAll(t, d, lost)
		})
	}
}

// lineUntilFailure appends from number 3 until the writer fails, and returns the
// number that was refused.
func lineUntilFailure(t *testing.T, w LineWriter) int64 {
	t.Helper()
	for n := int64(3); ; n++ {
		err := w.Append(testContext(t), testLine("stdout", n))
		if errors.Is(err, errDisk) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// resendAll sends numbers 2 through last in a new call; all must be there, once.
func resendAll(t *testing.T, d *Dir, last int64) {
	t.Helper()
	w := begin(t, d)
	want := []int64{1}
	for n := int64(2); n <= last; n++ {
		put(t, w, "stdout", n)
		want = append(want, n)
	}
	awaitAck(t, w, "stdout", last)
	mustClose(t, w)
	equal(t, want, numbersOf(readAll(t, d)))
}

func TestLog1UnsyncedLinesAreNotTakenForStored(t *testing.T) {
	d, f := faultyDir(t, Options{})
	unsyncedLinesAreNotTakenForStored(t, d, f)
}

func TestLog1UnsyncedLinesAreNotTakenForStoredWhereOthersGoOn(t *testing.T) {
	d, other := twoDirs(t)
	f := &faults{}
	d.openFile = f.open
	last := unsyncedLinesAreNotTakenForStored(t, d, f)
	next := begin(t, other)
	put(t, next, "stdout", last+1)
	mustClose(t, next)
	equal(t, upTo(last+1), numbersOf(readAll(t, d)))
}

// unsyncedLinesAreNotTakenForStored has a disk neither sync nor cut, and returns the
// number of the last line that is stored when it does again.
func unsyncedLinesAreNotTakenForStored(t *testing.T, d *Dir, f *faults) (last int64) {
	t.Helper()
	w := begin(t, d)
	put(t, w, "stdout", 1, 2)
	awaitAck(t, w, "stdout", 2)
	f.set(func(f *faults) { f.sync, f.cut = errDisk, errDisk })
	lost := lineUntilFailure(t, w)
	if err := w.Close(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	// The file holds lines whose sync failed, and they cannot be cut off.
	equal(t, []int64{1, 2}, numbersOf(readAll(t, d)))
	if _, err := d.OpenLines(testContext(t), testRef); !errors.Is(err, errDisk) {
		t.Fatalf("opened over unsynced lines: %v", err)
	}
	f.set(func(f *faults) { f.sync, f.cut = nil, nil })
	resendAll(t, d, lost)
	return lost
}

func TestLog13NewerTakesOverFromAFailedOne(t *testing.T) {
	d, f := faultyDir(t, Options{})
	older := begin(t, d)
	put(t, older, "stdout", 1)
	awaitAck(t, older, "stdout", 1)
	f.set(func(f *faults) { f.write = errDisk })
	lost := lineUntilFailure(t, older) // number 3, though 2 never came
	f.set(func(f *faults) { f.write = nil })
	resendAll(t, d, lost)
	if err := older.Append(testContext(t), testLine("stdout", 9)); !errors.Is(err, domain.ErrAborted) {
		t.Fatal(err)
	}
	if err := older.Close(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
}

func TestLog1FailedWriterClosesAfterItsLogWasLoadedAnew(t *testing.T) {
	d, f := faultyDir(t, Options{})
	older := begin(t, d)
	f.set(func(f *faults) { f.write = errDisk })
	put(t, older, "stdout", 1)
	l := d.logs[testRef]
	for {
		l.mu.Lock()
		failed, changed := l.err != nil, l.changed.wait()
		l.mu.Unlock()
		if failed {
			break
		}
		wait(t, changed)
	}
	f.set(func(f *faults) { f.write = nil })
	newer := begin(t, d) // the log is empty, and shorter than older believes
	if err := older.Close(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	put(t, newer, "stdout", 1)
	mustClose(t, newer)
	equal(t, []int64{1}, numbersOf(readAll(t, d)))
}

func TestLog1UnknownLogIsSyncedOnceBeforeItIsRead(t *testing.T) {
	opts := Options{Root: t.TempDir()}
	d := testDir(t, opts)
	w := begin(t, d)
	put(t, w, "stdout", 1)
	mustClose(t, w)
	mustClose(t, d)
	d, f := faultyDir(t, opts)
	f.set(func(f *faults) { f.sync = errDisk })
	if got, err := d.Read(testContext(t), testRef, 0, 1); !errors.Is(err, errDisk) {
		t.Fatalf("%v, %v", got, err)
	}
	f.set(func(f *faults) { f.sync, f.syncs = nil, 0 })
	for range 3 {
		equal(t, 1, len(readAll(t, d)))
	}
	f.set(func(f *faults) { equal(t, 1, f.syncs) })
}
