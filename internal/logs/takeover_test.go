package logs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// twoDirs share a root, as those of two servers do.
func twoDirs(t *testing.T) (a, b *Dir) {
	t.Helper()
	a = testDir(t, Options{Shared: true})
	b = testDir(t, Options{Shared: true, Root: a.opts.Root})
	a.SetPatience(TestPatience)
	b.SetPatience(TestPatience)
	return a, b
}

// deaf has a Dir hear nobody who asks for a log, as a server that hangs.
func deaf(d *Dir) {
	close(d.stop)
	<-d.alone
	d.stop = make(chan struct{}) // for its Close
}

func upTo(n int64) (numbers []int64) {
	for i := int64(1); i <= n; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

func TestLog13ALogMovesToAnotherServer(t *testing.T) {
	a, b := twoDirs(t)
	old := begin(t, a)
	put(t, old, "stdout", upTo(40)...)
	put(t, old, "stdout", 43) // above a hole
	next := begin(t, b)
	wait(t, old.Superseded())
	if err := old.Append(testContext(t), testLine("stdout", 41)); !errors.Is(err, domain.ErrAborted) {
		t.Errorf("the older call takes a line: %v", err)
	}
	mustClose(t, old)
	if acks := old.Acks(); len(acks) != 1 || acks[0].Through != 40 {
		t.Errorf("the older call's last acks: %v", acks)
	}
	put(t, next, "stdout", 40, 41, 42, 43, 44)
	awaitAck(t, next, "stdout", 44)
	for _, d := range []*Dir{a, b} {
		equal(t, append(upTo(40), -1, 43, 41, 42, 44), numbersOf(readAll(t, d)))
		if !d.Writing(testRef) {
			t.Error("a server does not see that somebody writes")
		}
	}
	changed := a.Changed(testRef)
	put(t, next, "stdout", 45)
	wait(t, changed) // a follower on the one sees what the other writes
	changed = a.Changed(testRef)
	mustClose(t, next)
	wait(t, changed)
	if a.Writing(testRef) || b.Writing(testRef) {
		t.Error("nobody writes")
	}
}

// TestLog13AServerThatHangsLosesTheLog takes a log from a server that does not let go.
// What that one writes later is nowhere, and it acknowledges nothing of it.
func TestLog13AServerThatHangsLosesTheLog(t *testing.T) {
	a, b := twoDirs(t)
	deaf(a)
	b.patience = 50 * time.Millisecond
	old := begin(t, a)
	put(t, old, "stdout", 1, 2)
	awaitAck(t, old, "stdout", 2)
	awaitRest(t, a.logs[testRef]) // while it writes, nobody takes it
	next := begin(t, b)
	put(t, old, "stdout", 3)
	wait(t, old.Superseded())
	if err := old.Close(); !errors.Is(err, domain.ErrAborted) {
		t.Errorf("the older call ends with %v", err)
	}
	if acks := old.Acks(); len(acks) != 0 {
		t.Errorf("acked: %v", acks)
	}
	put(t, next, "stdout", 3, 4)
	awaitAck(t, next, "stdout", 4)
	mustClose(t, next)
	for _, d := range []*Dir{a, b} {
		equal(t, upTo(4), numbersOf(readAll(t, d)))
	}
	again := begin(t, a)
	put(t, again, "stdout", 4, 5)
	mustClose(t, again)
	equal(t, upTo(5), numbersOf(readAll(t, b)))
}

// lockAtRest locks a log whose owner has given the right to write free: that comes after
// the ack.
func lockAtRest(t *testing.T, l *attemptLog) {
	t.Helper()
	if err := await(testContext(t), func() (bool, error) {
		l.mu.Lock()
		if !l.holding {
			return true, nil
		}
		l.mu.Unlock()
		return false, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// awaitRest waits until a log's owner has given the right to write free.
func awaitRest(t *testing.T, l *attemptLog) {
	t.Helper()
	lockAtRest(t, l)
	l.mu.Unlock()
}

// TestLog13AnIdleOwnerNoticesThatItIsNone takes a log by force from a server that has
// nothing to write.
func TestLog13AnIdleOwnerNoticesThatItIsNone(t *testing.T) {
	a, b := twoDirs(t)
	old := begin(t, a)
	put(t, old, "stdout", 1)
	awaitAck(t, old, "stdout", 1)
	l := a.logs[testRef]
	b.patience = 50 * time.Millisecond
	lockAtRest(t, l) // it can answer nobody
	next, err := b.OpenLines(testContext(t), testRef)
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	wait(t, old.Superseded())
	mustClose(t, old)
	put(t, next, "stdout", 2)
	mustClose(t, next)
	equal(t, upTo(2), numbersOf(readAll(t, a)))
}

// TestLog1WhatStandsBehindASealIsNotRead has a former owner write although another has
// the lock, as a file system may let it that was cut off.
func TestLog1WhatStandsBehindASealIsNotRead(t *testing.T) {
	a, b := twoDirs(t)
	w := begin(t, a)
	put(t, w, "stdout", 1, 2)
	mustClose(t, w)
	late, err := os.OpenFile(segmentFiles(t, a)[0], appendFlags, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close() //nolint:errcheck // a test's
	rec := prepare(testLine("stdout", 3), a.opts.Now)
	raw := appendRecord(nil, &rec)
	write := func(part []byte) {
		if _, err := late.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	write(raw[:len(raw)/2]) // torn: cut off
	next := begin(t, b)
	write(raw) // after the seal
	put(t, next, "stdout", 3, 4)
	mustClose(t, next)
	write(raw)
	for _, d := range []*Dir{a, b} {
		equal(t, upTo(4), numbersOf(readAll(t, d)))
	}
	w = begin(t, a)
	put(t, w, "stdout", 5)
	mustClose(t, w)
	equal(t, upTo(5), numbersOf(readAll(t, b)))
}

// TestLog1UnsyncedLinesAreTakenAway has a disk fail under an owner: the next one sees
// nothing of what was not synced.
func TestLog1UnsyncedLinesAreTakenAway(t *testing.T) {
	a, b := twoDirs(t)
	disk := &faults{}
	a.openFile = disk.open
	w := begin(t, a)
	put(t, w, "stdout", 1)
	awaitAck(t, w, "stdout", 1)
	disk.set(func(f *faults) { f.sync = errDisk })
	put(t, w, "stdout", 2)
	if err := w.Close(); !errors.Is(err, errDisk) {
		t.Errorf("close: %v", err)
	}
	equal(t, upTo(1), numbersOf(readAll(t, b)))
	next := begin(t, b)
	put(t, next, "stdout", 2)
	mustClose(t, next)
	equal(t, upTo(2), numbersOf(readAll(t, b)))
}

func TestACallWithoutLinesLeavesNothing(t *testing.T) {
	a, b := twoDirs(t)
	first := begin(t, a)
	second := begin(t, b)
	mustClose(t, first)
	mustClose(t, second)
	if got := readAll(t, a); len(got) != 0 {
		t.Errorf("records %v", got)
	}
	left := segmentFiles(t, a)
	if len(left) > 1 { // the one that was taken over has its seal
		t.Errorf("left behind: %v", left)
	}
	w := begin(t, b)
	put(t, w, "stdout", 1)
	mustClose(t, w)
	w = begin(t, b)
	put(t, w, "stdout", 2)
	mustClose(t, w)
	equal(t, upTo(2), numbersOf(readAll(t, a)))
	if files := segmentFiles(t, a); len(files) > len(left)+1 {
		t.Errorf("who comes back alone begins another segment: %v", files)
	}
	rings, err := os.ReadDir(filepath.Join(a.opts.Root, ringDir))
	if err != nil || len(rings) != 0 {
		t.Errorf("rings %v, %v", rings, err)
	}
}

// TestLog1AckedLinesSurviveTheOwner has other processes own a log, and takes it over
// while they write and after they were killed.
func TestLog1AckedLinesSurviveTheOwner(t *testing.T) {
	dir := t.TempDir()
	d := testDir(t, Options{Root: dir, Shared: true})
	d.SetPatience(TestPatience) // an owner that lives lets go, however slow it is
	acks := map[string]int64{}
	for i, enough := range []int64{1, 200, 300, 600, 700} {
		end := func(cmd *exec.Cmd) error { return cmd.Process.Kill() }
		var w LineWriter
		if i%2 == 1 {
			end = func(*exec.Cmd) (err error) {
				w, err = d.OpenLines(context.WithoutCancel(testContext(t)), testRef)
				return err
			}
		}
		for stream, n := range endedBy(t, dir, enough, end, crashSharedEnv+"=yes") {
			acks[stream] = max(acks[stream], n)
		}
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
		if w != nil {
			for _, stream := range slices.Sorted(maps.Keys(last)) {
				put(t, w, stream, last[stream]+1)
			}
			mustClose(t, w)
		}
	}
}
