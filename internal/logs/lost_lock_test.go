package logs

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

// slow is a disk that stands still where it is told to: in the last line of a write, before it
// cuts, and in a sync that then fails.
type slow struct {
	inWrite, beforeCut, inSync *standstill
	full                       atomic.Bool // a write ends where it stood still
}

type slowFile struct {
	file
	*slow
}

func (f *slowFile) Write(p []byte) (int, error) {
	n, err := f.file.Write(p[:max(0, len(p)-5)])
	if err != nil {
		return n, err
	}
	f.inWrite.pass()
	if f.full.Load() {
		return n, errDisk
	}
	m, err := f.file.Write(p[n:])
	return n + m, err
}

func (f *slowFile) Truncate(size int64) error {
	f.beforeCut.pass()
	return f.file.Truncate(size)
}

func (f *slowFile) Sync() error {
	if f.inSync.armed.Load() {
		f.inSync.pass()
		return errDisk
	}
	return f.file.Sync()
}

// slowDisk has d write to one.
func slowDisk(t *testing.T, d *Dir) *slow {
	t.Helper()
	s := &slow{inWrite: newStandstill(t), beforeCut: newStandstill(t), inSync: newStandstill(t)}
	d.openFile = func(path string, flag int) (file, error) {
		f, err := openFile(path, flag)
		return &slowFile{f, s}, err
	}
	return s
}

// loseLocks is what a file system does that takes a machine to be gone. The log is being written.
func loseLocks(t *testing.T, d *Dir) {
	t.Helper()
	l := d.logs[testRef]
	if err := errors.Join(unlock(l.file, mayWrite), unlock(l.file, isOwned)); err != nil {
		t.Fatal(err)
	}
}

// TestLog1WhatANewOwnerCutsOffIsNotAcked has an owner lose its locks in the middle of a write:
// the next one finds half a line there, and cuts it off when the owner has written on.
func TestLog1WhatANewOwnerCutsOffIsNotAcked(t *testing.T) {
	a, b := twoDirs(t)
	disk, others := slowDisk(t, a), slowDisk(t, b)
	old := begin(t, a)
	put(t, old, "stdout", 1)
	awaitAck(t, old, "stdout", 1)
	disk.inWrite.armed.Store(true)
	others.beforeCut.armed.Store(true)
	put(t, old, "stdout", 2)
	wait(t, disk.inWrite.reached)
	loseLocks(t, a)
	next := beginBeside(t, b)
	wait(t, others.beforeCut.reached)
	disk.inWrite.letGo()
	wait(t, old.Superseded())
	acks, closed := old.Acks(), old.Close()
	others.beforeCut.letGo()
	w := mustOpen(t, next)
	equal(t, upTo(1), numbersOf(readAll(t, b)))
	if len(acks) != 0 || !errors.Is(closed, domain.ErrAborted) {
		t.Errorf("acked %v of what is not there; the call ends with %v", acks, closed)
	}
	put(t, w, "stdout", 2)
	mustClose(t, w)
	equal(t, upTo(2), numbersOf(readAll(t, a)))
}

// TestLog1AFormerOwnerBeginsNothing has an owner lose its locks when it is about to begin a
// segment: the next one begins its own, and has written past the other's place.
func TestLog1AFormerOwnerBeginsNothing(t *testing.T) {
	a, b := twoDirs(t)
	a.opts.SegmentBytes = 200
	making := beforeMaking(t, a)
	old := begin(t, a)
	making.armed.Store(true)
	putUntil(t, old, making.reached)
	loseLocks(t, a)
	w := begin(t, b)
	kept := readAll(t, b)
	last := kept[len(kept)-1].Number
	making.letGo()
	if err := old.Close(); !errors.Is(err, domain.ErrAborted) {
		t.Errorf("the call ends with %v, and acks %v of %d lines", err, old.Acks(), last)
	}
	put(t, w, "stdout", last+1)
	mustClose(t, w)
	for _, d := range []*Dir{a, b} {
		equal(t, upTo(last+1), numbersOf(readAll(t, d)))
	}
}

// TestLog1AFormerOwnerCutsNothingOff has a sync fail of an owner that lost its locks
// meanwhile: the lines are no longer its to take away.
func TestLog1AFormerOwnerCutsNothingOff(t *testing.T) {
	a, b := twoDirs(t)
	disk := slowDisk(t, a)
	old := begin(t, a)
	put(t, old, "stdout", 1)
	awaitAck(t, old, "stdout", 1)
	disk.inSync.armed.Store(true)
	put(t, old, "stdout", 2)
	wait(t, disk.inSync.reached)
	loseLocks(t, a)
	w := begin(t, b)
	put(t, w, "stdout", 2) // sent again, and there
	awaitAck(t, w, "stdout", 2)
	mustClose(t, w)
	disk.inSync.letGo()
	closed := old.Close()
	equal(t, upTo(2), numbersOf(readAll(t, b)))
	if !errors.Is(closed, domain.ErrAborted) {
		t.Errorf("the call ends with %v", closed)
	}
}

// TestLog1AFormerOwnerCutsNothingOffUnderTheNext: that one has seen where the last whole line
// ends, and has yet to seal it.
func TestLog1AFormerOwnerCutsNothingOffUnderTheNext(t *testing.T) {
	a, b := twoDirs(t)
	disk, others := slowDisk(t, a), slowDisk(t, b)
	old := begin(t, a)
	put(t, old, "stdout", 1)
	awaitAck(t, old, "stdout", 1)
	disk.inWrite.armed.Store(true)
	disk.full.Store(true)
	others.beforeCut.armed.Store(true)
	put(t, old, "stdout", 3, 2) // one write
	wait(t, disk.inWrite.reached)
	loseLocks(t, a)
	next := beginBeside(t, b)
	wait(t, others.beforeCut.reached)
	disk.inWrite.letGo()
	if err := old.Close(); err == nil {
		t.Error("the call ends well")
	}
	others.beforeCut.letGo()
	w := mustOpen(t, next)
	equal(t, upTo(2), numbersOf(readAll(t, b)))
	put(t, w, "stdout", 3)
	mustClose(t, w)
	equal(t, upTo(3), numbersOf(readAll(t, a)))
}

// TestLog1WhatAnotherTookForStoredStays has a disk neither sync nor cut under an owner. The
// next one acknowledges what it found, writes nothing and goes.
func TestLog1WhatAnotherTookForStoredStays(t *testing.T) {
	a, b := twoDirs(t)
	disk := &faults{}
	a.openFile = disk.open
	old := begin(t, a)
	put(t, old, "stdout", 1)
	awaitAck(t, old, "stdout", 1)
	disk.set(func(f *faults) { f.sync, f.cut = errDisk, errDisk })
	put(t, old, "stdout", 2)
	if err := old.Close(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	w := begin(t, b)
	put(t, w, "stdout", 2)
	awaitAck(t, w, "stdout", 2)
	mustClose(t, w)
	disk.set(func(f *faults) { f.sync, f.cut = nil, nil })
	equal(t, upTo(2), numbersOf(readAll(t, a)))
	again := begin(t, a)
	put(t, again, "stdout", 3)
	mustClose(t, again)
	equal(t, upTo(3), numbersOf(readAll(t, b)))
}
