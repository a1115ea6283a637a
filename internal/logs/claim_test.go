package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// standstill is a place where a Dir stands still, once it is armed and until it is let go.
type standstill struct {
	armed   atomic.Bool
	once    sync.Once
	reached chan struct{}
	gone    chan struct{}
	letGo   func()
}

func newStandstill(t *testing.T) *standstill {
	t.Helper()
	s := &standstill{reached: make(chan struct{}), gone: make(chan struct{})}
	s.letGo = sync.OnceFunc(func() { close(s.gone) })
	t.Cleanup(s.letGo) // before the Dir's own clean-up, which waits
	return s
}

func (s *standstill) pass() {
	if s.armed.Load() {
		s.once.Do(func() { close(s.reached) })
		<-s.gone
	}
}

// beforeMaking is where d is about to make a segment, and afterMaking where it just has.
func beforeMaking(t *testing.T, d *Dir) *standstill {
	t.Helper()
	s := newStandstill(t)
	d.openFile = func(path string, flag int) (file, error) {
		if flag&os.O_CREATE != 0 {
			s.pass()
		}
		return openFile(path, flag)
	}
	return s
}

func afterMaking(t *testing.T, d *Dir) *standstill {
	t.Helper()
	s := newStandstill(t)
	d.openFile = func(path string, flag int) (file, error) {
		f, err := openFile(path, flag)
		if flag&os.O_CREATE != 0 {
			s.pass()
		}
		return f, err
	}
	return s
}

// lockStop stands still before each use of its locks.
type lockStop struct {
	file
	stop *standstill
}

func (f *lockStop) Fd() uintptr {
	f.stop.pass()
	return f.file.Fd()
}

// asking begins a call at d that has looked for an owner, found none and asks for the log,
// and has it stand still there.
func asking(t *testing.T, d *Dir) (<-chan opened, *standstill) {
	t.Helper()
	s := newStandstill(t)
	d.openFile = func(path string, flag int) (file, error) {
		f, err := openFile(path, flag)
		return &lockStop{f, s}, err
	}
	blocked := lockedSegment(t, d, mayWrite)
	call := beginBeside(t, d)
	awaitLocked(t, blocked, isAsked)
	s.armed.Store(true)
	wait(t, s.reached)
	mustClose(t, blocked)
	return call, s
}

// lockedSegment is the last segment of the log of a Dir, with a lock.
func lockedSegment(t *testing.T, d *Dir, which int64) file {
	t.Helper()
	files := segmentFiles(t, d)
	f, err := openFile(files[len(files)-1], sharedFlags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if ok, err := tryLock(f, which); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return f
}

func awaitLocked(t *testing.T, f file, which int64) {
	t.Helper()
	if err := await(testContext(t), func() (bool, error) { return lockedElsewhere(f, which) }); err != nil {
		t.Fatal(err)
	}
}

// TestLog13WhoHasMadeASegmentMayHaveLostIt has a server stand still between making a
// segment and locking it, and another open the log meanwhile. The first one is no owner then,
// and takes no line.
func TestLog13WhoHasMadeASegmentMayHaveLostIt(t *testing.T) {
	for name, lines := range map[string][]int64{"never written": nil, "left by its owner": {1, 2}} {
		t.Run(name, func(t *testing.T) {
			a, b := twoDirs(t)
			if lines != nil {
				w := begin(t, b)
				put(t, w, "stdout", lines...)
				mustClose(t, w)
			}
			b.patience = 50 * time.Millisecond
			made := afterMaking(t, a)
			made.armed.Store(true)
			first := beginBeside(t, a)
			wait(t, made.reached)
			second := begin(t, b)
			put(t, second, "stdout", 3, 4)
			made.letGo()
			refusedBeside(t, first, second)
			put(t, second, "stdout", 5)
			mustClose(t, second)
			for _, d := range []*Dir{a, b} {
				got := numbersOf(readAll(t, d))
				equal(t, []int64{3, 4, 5}, got[len(got)-3:])
			}
		})
	}
}

// TestLog13WhoHasMadeASegmentLooksWhetherItIsAskedFor: who took it to be without an owner has yet
// to seal it.
func TestLog13WhoHasMadeASegmentLooksWhetherItIsAskedFor(t *testing.T) {
	a, _ := twoDirs(t)
	made := afterMaking(t, a)
	made.armed.Store(true)
	first := beginBeside(t, a)
	wait(t, made.reached)
	taker := lockedSegment(t, a, mayWrite)
	if err := share(taker, isAsked); err != nil {
		t.Fatal(err)
	}
	made.letGo()
	if got := received(t, first); !errors.Is(got.err, domain.ErrUnavailable) {
		t.Errorf("the call begins: %v", got.err)
	}
	mustClose(t, taker)
	w := begin(t, a)
	put(t, w, "stdout", 1)
	mustClose(t, w)
	equal(t, upTo(1), numbersOf(readAll(t, a)))
}

// refusedBeside has the first of two calls be refused, to be tried again if anybody is there
// to do so, and the second one go on.
func refusedBeside(t *testing.T, first <-chan opened, second LineWriter) {
	t.Helper()
	got := received(t, first)
	if !errors.Is(got.err, domain.ErrUnavailable) {
		t.Errorf("the call that came to nothing: %v", got.err)
	}
	if got.w != nil {
		_ = got.w.Close()
	}
	select {
	case <-second.Superseded():
		t.Error("the newer call ends")
	default:
	}
}

// TestLog13AnOlderCallTakesNothingFromANewerOne has a server stand still while it opens a
// log that nobody owns, and another one open it for the call that came after.
func TestLog13AnOlderCallTakesNothingFromANewerOne(t *testing.T) {
	written := func(t *testing.T, d *Dir) {
		w := begin(t, d)
		put(t, w, "stdout", 1)
		mustClose(t, w)
	}
	for name, older := range map[string]func(t *testing.T, a, b *Dir) (<-chan opened, *standstill){
		"never written": func(t *testing.T, a, _ *Dir) (<-chan opened, *standstill) {
			s := beforeMaking(t, a)
			s.armed.Store(true)
			call := beginBeside(t, a)
			wait(t, s.reached)
			return call, s
		},
		"left by another": func(t *testing.T, a, _ *Dir) (<-chan opened, *standstill) {
			third := testDir(t, Options{Root: a.opts.Root, Shared: true})
			written(t, third)
			return asking(t, a)
		},
		"left by the one that comes again": func(t *testing.T, a, b *Dir) (<-chan opened, *standstill) {
			written(t, b)
			return asking(t, a)
		},
		"left without lines": func(t *testing.T, a, _ *Dir) (<-chan opened, *standstill) {
			third := testDir(t, Options{Root: a.opts.Root, Shared: true})
			deaf(third)
			w := begin(t, third)
			call, stop := asking(t, a)
			mustClose(t, w)
			return call, stop
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := twoDirs(t)
			call, stop := older(t, a, b)
			newer := begin(t, b)
			put(t, newer, "stdout", 1, 2)
			awaitAck(t, newer, "stdout", 2)
			stop.letGo()
			refusedBeside(t, call, newer)
			put(t, newer, "stdout", 3)
			mustClose(t, newer)
			equal(t, upTo(3), numbersOf(readAll(t, a)))
		})
	}
}

// TestLog13OfTwoThatWaitTheNewerHasTheLog in the end, whichever gets it first.
func TestLog13OfTwoThatWaitTheNewerHasTheLog(t *testing.T) {
	a, b := twoDirs(t)
	w := begin(t, b)
	put(t, w, "stdout", 1)
	mustClose(t, w)
	blocked := lockedSegment(t, a, mayWrite)
	call := beginBeside(t, a)
	awaitLocked(t, blocked, isAsked)
	later := beginBeside(t, b)
	mustClose(t, blocked)
	newer, older := mustOpen(t, later), received(t, call)
	if older.err == nil {
		wait(t, older.w.Superseded())
		mustClose(t, older.w)
	} else if !errors.Is(older.err, domain.ErrUnavailable) {
		t.Error(older.err)
	}
	put(t, newer, "stdout", 2)
	mustClose(t, newer)
	equal(t, upTo(2), numbersOf(readAll(t, a)))
}

// putUntil writes lines until something is reached, and tells how many.
func putUntil(t *testing.T, w LineWriter, reached <-chan struct{}) (n int64) {
	t.Helper()
	for {
		n++
		put(t, w, "stdout", n)
		select {
		case <-reached:
			return n
		default:
		}
	}
}

// TestLog13AnOwnerThatBeginsASegmentIsAsked has one stand still between making its next
// segment and locking it: nobody takes that for a log without an owner, and what the owner
// took is stored.
func TestLog13AnOwnerThatBeginsASegmentIsAsked(t *testing.T) {
	a, b := twoDirs(t)
	a.opts.SegmentBytes = 200
	made := afterMaking(t, a)
	old := begin(t, a)
	made.armed.Store(true)
	n := putUntil(t, old, made.reached)
	next := beginBeside(t, b)
	if err := await(testContext(t), func() (bool, error) {
		rings, err := os.ReadDir(filepath.Join(b.opts.Root, ringDir))
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return len(rings) > 0 || len(next) > 0, err
	}); err != nil {
		t.Fatal(err)
	}
	made.letGo()
	w := mustOpen(t, next)
	wait(t, old.Superseded())
	mustClose(t, old)
	if acks := old.Acks(); len(acks) != 1 || acks[0].Through != n {
		t.Errorf("acks %v of %d lines", acks, n)
	}
	put(t, w, "stdout", n+1)
	mustClose(t, w)
	equal(t, upTo(n+1), numbersOf(readAll(t, a)))
}

// TestLog1WhatIsAckedInARaceOfClaimsIsThere has servers open logs that nobody owns at the same
// moment: new ones, and again when all have gone. Each may be refused, or superseded, but not be
// told of a line that is lost, and no line is there twice or in another order.
func TestLog1WhatIsAckedInARaceOfClaimsIsThere(t *testing.T) {
	const servers, rounds = 3, 5
	root := t.TempDir()
	var dirs [servers]*Dir
	for i := range dirs {
		dirs[i] = testDir(t, Options{Root: root, Shared: true, SegmentBytes: 200})
		dirs[i].SetPatience(TestPatience)
	}
	ref := testRef
	for ref.TryNumber = range rounds {
		var acked [servers]int64
		for range 3 {
			var all sync.WaitGroup
			start := make(chan struct{})
			for i, d := range dirs {
				all.Go(func() {
					<-start
					acked[i] = max(acked[i], race(t, d, ref, fmt.Sprint("of ", i), acked[i]+1))
				})
			}
			close(start)
			all.Wait()
		}
		got, err := dirs[ref.TryNumber%servers].Read(testContext(t), ref, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]int64{}
		for _, r := range got {
			if r.Mark != "" || r.Number != last[r.Stream]+1 {
				t.Fatalf("after line %d: %+v", last[r.Stream], r)
			}
			last[r.Stream] = r.Number
		}
		for i, n := range acked {
			if name := fmt.Sprint("of ", i); last[name] < n {
				t.Fatalf("%s acked through %d, kept through %d", name, n, last[name])
			}
		}
	}
}

// race sends some lines in a call of d, and tells through which one they were acked.
func race(t *testing.T, d *Dir, ref Ref, stream string, from int64) (acked int64) {
	allowed := func(err error) bool {
		if err != nil && !errors.Is(err, domain.ErrUnavailable) && !errors.Is(err, domain.ErrAborted) {
			t.Error(err)
		}
		return err == nil
	}
	w, err := d.OpenLines(t.Context(), ref)
	if !allowed(err) {
		return 0
	}
	for n := from; n < from+3; n++ {
		line := testLine(stream, n)
		line.Session = 1
		if !allowed(w.Append(t.Context(), line)) {
			break
		}
	}
	allowed(w.Close())
	for _, a := range w.Acks() {
		acked = a.Through
	}
	return acked
}
