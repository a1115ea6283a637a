package logs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// opened is what an opener that runs beside a test came to.
type opened struct {
	w   LineWriter
	err error
}

func beginBeside(t *testing.T, d *Dir) <-chan opened {
	t.Helper()
	ctx, done := testContext(t), make(chan opened, 1)
	go func() {
		w, err := d.OpenLines(ctx, testRef)
		done <- opened{w, err}
	}()
	return done
}

// received is what comes of something that could hang.
func received[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-testContext(t).Done():
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

func mustOpen(t *testing.T, ch <-chan opened) LineWriter {
	t.Helper()
	got := received(t, ch)
	if got.err != nil {
		t.Fatal(got.err)
	}
	return got.w
}

// TestLog13TheNewestCallGetsALogThatWasLost opens a log where another server took it by
// force, and nobody has noticed yet.
func TestLog13TheNewestCallGetsALogThatWasLost(t *testing.T) {
	a, b := twoDirs(t)
	deaf(a)
	b.patience = 50 * time.Millisecond
	old := begin(t, a)
	put(t, old, "stdout", 1)
	awaitAck(t, old, "stdout", 1)
	awaitRest(t, a.logs[testRef]) // while it writes, nobody takes it
	other := begin(t, b)
	newest := begin(t, a)
	wait(t, old.Superseded())
	wait(t, other.Superseded())
	put(t, newest, "stdout", 2)
	mustClose(t, newest)
	mustClose(t, old)
	mustClose(t, other)
	equal(t, upTo(2), numbersOf(readAll(t, b)))
}

// TestLog13TheNewestCallComesAfterOneThatIsLetIn opens a log while its owner stores the
// last of what it took, for another server that has asked before.
func TestLog13TheNewestCallComesAfterOneThatIsLetIn(t *testing.T) {
	a, b := twoDirs(t)
	disk := &faults{}
	a.openFile = disk.open
	syncing, pass, open := disk.metered(t)
	plain, err := a.Open(testRef)
	if err != nil {
		t.Fatal(err)
	}
	write := func() {
		if err := plain.WriteEvent(testLine("stdout", 0).Event); err != nil {
			t.Fatal(err)
		}
	}
	write()
	wait(t, syncing)
	write()
	earlier := beginBeside(t, b)
	l := a.logs[testRef]
	if err := await(testContext(t), func() (bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.looking, nil
	}); err != nil {
		t.Fatal(err)
	}
	pass <- struct{}{}
	wait(t, syncing) // now it is letting go
	newest := beginBeside(t, a)
	select {
	case got := <-newest:
		t.Errorf("a call begins on a log that is given away: %v", got.err)
	case pass <- struct{}{}:
	}
	open()
	other, w := mustOpen(t, earlier), mustOpen(t, newest)
	wait(t, other.Superseded())
	put(t, w, "stdout", 1)
	mustClose(t, w)
	mustClose(t, other)
	mustClose(t, plain)
	equal(t, []int64{0, 0, 1}, numbersOf(readAll(t, b)))
}

// TestLog13ABusyOwnerLetsGo has a server that hears nobody write without a pause: what it
// takes next has always come before the sync before ends.
func TestLog13ABusyOwnerLetsGo(t *testing.T) {
	a, b := twoDirs(t) // patient: one that writes is asked, and not taken by force
	deaf(a)
	disk := &faults{}
	a.openFile = disk.open
	syncing, pass, open := disk.metered(t)
	old := begin(t, a)
	put(t, old, "stdout", 1)
	ended, taken := make(chan struct{}), make(chan struct{})
	ctx := testContext(t)
	go func() {
		defer close(ended)
		for n := int64(2); ; n++ {
			select {
			case <-syncing:
			case <-taken:
				return
			}
			_ = old.Append(ctx, testLine("stdout", n)) // refused in the end
			select {
			case pass <- struct{}{}:
			case <-taken:
				return
			}
		}
	}()
	stop := sync.OnceFunc(func() { close(taken); <-ended })
	t.Cleanup(stop)
	next := received(t, beginBeside(t, b))
	stop()
	open()
	if next.err != nil {
		t.Fatal(next.err)
	}
	wait(t, old.Superseded())
	mustClose(t, old)
	mustClose(t, next.w)
}

// TestLog13WhoeverCannotTakeOverIsToldSo has an owner's disk hang.
func TestLog13WhoeverCannotTakeOverIsToldSo(t *testing.T) {
	a, b := twoDirs(t)
	b.patience = 20 * time.Millisecond
	disk := &faults{}
	a.openFile = disk.open
	syncing, open := disk.gated(t)
	old := begin(t, a)
	put(t, old, "stdout", 1)
	wait(t, syncing)
	if got := received(t, beginBeside(t, b)); !errors.Is(got.err, domain.ErrUnavailable) {
		t.Errorf("a log that cannot be had: %v", got.err)
	}
	open()
	mustClose(t, old)
	next := begin(t, b)
	put(t, next, "stdout", 2)
	mustClose(t, next)
	equal(t, upTo(2), numbersOf(readAll(t, a)))
}

// TestLog10AnOwnerOutlivesATakerThatHangs: the taker has the right to write, and does
// nothing with it.
func TestLog10AnOwnerOutlivesATakerThatHangs(t *testing.T) {
	a, _ := twoDirs(t)
	a.patience = 50 * time.Millisecond
	old := begin(t, a)
	put(t, old, "stdout", 1)
	awaitAck(t, old, "stdout", 1)
	awaitRest(t, a.logs[testRef])
	taker, err := os.OpenFile(segmentFiles(t, a)[0], sharedFlags, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer taker.Close() //nolint:errcheck // a test's
	if ok, err := tryLock(taker, mayWrite); err != nil || !ok {
		t.Fatal(ok, err)
	}
	put(t, old, "stdout", 2)
	closed := make(chan error, 1)
	go func() { closed <- old.Close() }()
	if err := received(t, closed); !errors.Is(err, domain.ErrAborted) {
		t.Errorf("the call ends with %v", err)
	}
	if err := unlock(taker, mayWrite); err != nil {
		t.Fatal(err)
	}
	again := begin(t, a)
	put(t, again, "stdout", 2)
	mustClose(t, again)
	equal(t, upTo(2), numbersOf(readAll(t, a)))
}

// TestWritingIsSeenInTheMiddleOfAHandover: the one has let go, and the other is not done.
func TestWritingIsSeenInTheMiddleOfAHandover(t *testing.T) {
	a, b := twoDirs(t)
	disk := &faults{}
	b.openFile = disk.open
	old := begin(t, a)
	put(t, old, "stdout", 1)
	syncing, open := disk.gated(t)
	next := beginBeside(t, b)
	wait(t, syncing) // of the seal
	if !a.Writing(testRef) {
		t.Error("nobody is seen to write")
	}
	open()
	mustClose(t, mustOpen(t, next))
	mustClose(t, old)
	if a.Writing(testRef) {
		t.Error("nobody writes")
	}
}

// TestALogThatCannotBeSeenIsNotLookedForForever has a segment that is listed, and is not there.
func TestALogThatCannotBeSeenIsNotLookedForForever(t *testing.T) {
	d, _ := twoDirs(t)
	dir := filepath.Join(d.opts.Root, testRef.relDir())
	if err := makeDir(d.opts.Root, testRef.relDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, segmentName(0))); err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(context.Context) error{
		"open": func(ctx context.Context) error { _, err := d.OpenLines(ctx, testRef); return err },
		"read": func(ctx context.Context) error { _, err := d.Read(ctx, testRef, 0, 1); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- use(ctx) }()
		if err := received(t, done); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	seen := make(chan bool, 1)
	go func() { seen <- d.Writing(testRef) }()
	if !received(t, seen) {
		t.Error("what cannot be seen may grow")
	}
}

// TestWhoFollowsAClosedDirLooksAgain: others may write on, and nobody looks any more.
func TestWhoFollowsAClosedDirLooksAgain(t *testing.T) {
	a, _ := twoDirs(t)
	mustClose(t, a)
	wait(t, a.Changed(testRef))
}
