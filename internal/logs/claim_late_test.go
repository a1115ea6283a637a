package logs

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
)

// TestLog13AnOlderCallTakesNothingWhereTheOwnerRolled has the owner begin a segment with the last
// lines that it takes. A newer call has claimed that when the older one wakes.
func TestLog13AnOlderCallTakesNothingWhereTheOwnerRolled(t *testing.T) {
	a, b := twoDirs(t)
	c := testDir(t, Options{Root: a.opts.Root, Shared: true})
	c.SetPatience(TestPatience)
	a.opts.SegmentBytes = 200
	old := begin(t, a)
	put(t, old, "stdout", 1)
	awaitAck(t, old, "stdout", 1)
	s := newStandstill(t)
	c.openFile = func(path string, flag int) (file, error) {
		f, err := openFile(path, flag)
		return &lockStop{f, s}, err
	}
	owner := a.logs[testRef]
	lockAtRest(t, owner) // it answers nobody until it is let go
	call := beginBeside(t, c)
	f, err := openFile(segmentFiles(t, a)[0], sharedFlags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, f) })
	awaitLocked(t, f, isAsked)
	s.armed.Store(true)
	wait(t, s.reached)
	owner.mu.Unlock()
	long := testLine("stdout", 2) // it fills the segment: what follows begins another
	long.Message = strings.Repeat("0123456789", 30)
	if err := old.Append(testContext(t), long); err != nil {
		t.Fatal(err)
	}
	wait(t, old.Superseded())
	mustClose(t, old)
	newer := begin(t, b)
	put(t, newer, "stdout", 3)
	awaitAck(t, newer, "stdout", 3)
	s.letGo()
	refusedBeside(t, call, newer)
	put(t, newer, "stdout", 4)
	mustClose(t, newer)
	equal(t, upTo(4), numbersOf(readAll(t, b)))
}

// lockCount counts the uses of a file's locks.
type lockCount struct {
	file
	uses *atomic.Int32
}

func (f *lockCount) Fd() uintptr {
	f.uses.Add(1)
	return f.file.Fd()
}

// TestLog13ACallThatIsGoneAsksForNothing has a call stand still in the file system until nobody
// waits for it any more: whoever has the log may have it for a newer one.
func TestLog13ACallThatIsGoneAsksForNothing(t *testing.T) {
	a, b := twoDirs(t)
	w := begin(t, b)
	put(t, w, "stdout", 1)
	mustClose(t, w)
	hold, uses := newStandstill(t), &atomic.Int32{}
	hold.armed.Store(true)
	a.openFile = func(path string, flag int) (file, error) {
		hold.pass()
		f, err := openFile(path, flag)
		return &lockCount{f, uses}, err
	}
	ctx, leave := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	go func() {
		_, err := a.OpenLines(ctx, testRef)
		ended <- err
	}()
	wait(t, hold.reached)
	leave()
	hold.letGo()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := a.Close(); err != nil { // after what the call left to be done
		t.Error(err)
	}
	if n := uses.Load(); n != 0 {
		t.Errorf("the log was asked for: %d uses of its locks", n)
	}
}
