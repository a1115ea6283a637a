package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// A root that several processes share: of each log one of them at a time is the owner,
// who writes its last segment. Whoever opens the log next takes it over: it ends that
// segment with a seal, and begins another after it.
//
// Three locks of the last segment keep that in order. The owner has isOwned for as long
// as it has the log loaded, mayWrite while it writes, syncs and looks whether the segment
// still ends where it left it: if not, the log was taken over, and nothing of the batch
// is acknowledged. Who takes over has isAsked from the beginning, and mayWrite while it reads, seals
// and begins: so what was acknowledged before is read, and nothing is after. Should a
// file system give a lock to two, then what the former owner still writes stands behind
// the seal, where nobody reads it, or is cut off before that is written, and is not
// acknowledged either: who takes over asks until it is done, and an owner that is asked looks
// whether the right to write is its own still.
//
// An owner that lives is asked first, by a ring, to store what it took and to let go
// (LOG-13); one that does not answer in time is not waited for.
//
// A segment is made before it is locked, and need not have an owner. So who claims one looks for an
// owner when it has isAsked, and who becomes one looks whether somebody asks when it has isOwned:
// one of the two sees the other. A claim that another came before is refused, unless that
// one had asked first; see errBusy.
const (
	mayWrite int64 = iota
	isOwned
	isAsked
)

const (
	// defaultPatience is how long an owner that was asked may take to let go.
	defaultPatience = 2 * time.Second
	// retryLock is how often a lock is tried for by who does not wait in the kernel.
	retryLock = 5 * time.Millisecond
	// sharedFlags open a segment for an owner, or who is to be one.
	sharedFlags = os.O_RDWR | os.O_APPEND
)

// markSeal is the record that ends a segment of an owner that another took over from.
// Readers never see it.
const markSeal = "seal"

var sealLine = []byte(`{"mark":"` + markSeal + `"}` + "\n")

// sealedWithin reports whether a seal is among the whole lines of a segment from one position
// to another.
func sealedWithin(dir string, base, from, to int64) (sealed bool, err error) {
	part := segments{dir: dir, bases: []int64{base}, end: to}
	err = part.each(max(from, base), func(line []byte, _ int64) bool {
		sealed = bytes.Equal(line, bytes.TrimSuffix(sealLine, []byte("\n")))
		return !sealed
	})
	return sealed, err
}

// errTakenOver is what a former owner gets.
var errTakenOver = fmt.Errorf("another server has taken the log over: %w", domain.ErrAborted)

// own makes a segment, and makes this process its owner.
func (d *Dir) own(dir string, base int64) (file, error) {
	f, err := d.openFile(filepath.Join(dir, segmentName(base)), sharedFlags|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if _, err := tryLock(f, isOwned); err != nil {
		return nil, errors.Join(fmt.Errorf("lock a log: %w", err), f.Close())
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// await returns when done says so.
func await(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(retryLock)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// within is await for no longer than some patience; false: in vain.
func within(ctx context.Context, patience time.Duration, done func() (bool, error)) (bool, error) {
	if ok, err := done(); ok || err != nil {
		return ok, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := await(waiting, done)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// pause is what comes before another try.
func pause(ctx context.Context) error {
	timer := time.NewTimer(retryLock)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sizeIs returns errTakenOver unless f has a size.
func sizeIs(f file, size int64) error {
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		return errTakenOver
	}
	return err
}

// writeShared is write for an owner among several. It keeps the right to write until
// rest gives it free, so that who takes over waits for what was queued meanwhile.
func (l *attemptLog) writeShared(b *batch) error {
	if err := l.hold(); err != nil {
		return err
	}
	if err := sizeIs(l.file, b.start-l.base); err != nil {
		return err
	}
	if b.roll {
		if err := l.rollShared(b.start); err != nil {
			return err
		}
	}
	_, err := l.file.Write(b.buf)
	if err == nil {
		err = l.file.Sync()
	}
	if err == nil {
		b.asked, err = keeps(l.file, b.start-l.base+int64(len(b.buf)))
		return err
	}
	// What did not become durable must not be read as if it had.
	if cut := l.cut(b.start); errors.Is(cut, errTakenOver) {
		return cut
	} else if cut != nil {
		l.dir.suspect(l, b.start)
		l.dir.opts.Logger.Error("unsynced lines stay in a log until it is opened here", "dir", l.path, "error", cut)
	}
	return err
}

// keeps returns errTakenOver unless a segment is its owner's still, and has a size. Where the locks
// were lost, who takes over may have seen it when it was smaller: that one asks until it
// is done.
func keeps(f file, size int64) (asked bool, err error) {
	asked, err = lockedElsewhere(f, isAsked)
	if err != nil {
		return false, fmt.Errorf("lock a log: %w", err)
	}
	if asked {
		if err := holdStill(f); err != nil {
			return asked, err
		}
	}
	return asked, sizeIs(f, size)
}

// cut takes away what was written from a position on, unless another has taken it for stored.
func (l *attemptLog) cut(from int64) error {
	if err := holdStill(l.file); err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	sealed, err := sealedWithin(l.path, l.base, from, l.base+info.Size())
	if err != nil {
		return err
	}
	if sealed {
		return errTakenOver
	}
	return errors.Join(l.file.Truncate(from-l.base), l.file.Sync())
}

// holdStill returns errTakenOver if the right to write was lost, and another has it.
func holdStill(f file) error {
	ok, err := tryLock(f, mayWrite)
	if err != nil {
		return fmt.Errorf("lock a log: %w", err)
	}
	if !ok {
		return errTakenOver
	}
	return nil
}

// hold takes the right to write.
func (l *attemptLog) hold() error {
	if l.holding {
		return nil
	}
	if err := l.dir.takeRight(l.file); err != nil {
		return err
	}
	l.holding = true
	return nil
}

// takeRight takes the right to write an owner's segment. Who has it is taking the log over:
// that need not come to an end, for it may hang.
func (d *Dir) takeRight(f file) error {
	ok, err := within(context.Background(), d.patience, func() (bool, error) { return tryLock(f, mayWrite) })
	if err != nil {
		return fmt.Errorf("lock a log: %w", err)
	}
	if !ok {
		return errTakenOver
	}
	return nil
}

// rest gives the right to write free.
func (l *attemptLog) rest() {
	if !l.holding {
		return
	}
	l.holding = false
	if err := unlock(l.file, mayWrite); err != nil {
		l.dir.opts.Logger.Error("unlocking a log", "dir", l.path, "error", err)
	}
}

// rollShared begins a segment, as owner of the one before.
func (l *attemptLog) rollShared(base int64) error {
	f, err := l.dir.own(l.path, base)
	if err != nil {
		return err
	}
	err = l.dir.takeRight(f)
	if err == nil {
		_, err = keeps(l.file, base-l.base) // else another has begun its own segment, or will
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	old := l.file
	l.file, l.base = f, base
	l.mu.Lock()
	l.bases = append(slices.Clone(l.bases), base) // readers hold the old slice
	l.mu.Unlock()
	return errors.Join(old.Close(), sizeIs(f, 0))
}

// look is what the committer does between batches when it is told to: it lets go of a
// log that was taken over, or that another asks for. The lock is held.
func (l *attemptLog) look() {
	l.looking = false
	defer l.looked.wake()
	if l.err != nil || l.yielding {
		return
	}
	if !l.holding {
		if err := sizeIs(l.file, l.durable-l.base); errors.Is(err, errTakenOver) {
			l.lose()
			return
		}
	}
	if l.isAsked() {
		l.giveUp()
	}
}

// isAsked reports whether another process asks for the log. Only the committer calls it.
func (l *attemptLog) isAsked() bool {
	asked, err := lockedElsewhere(l.file, isAsked)
	return err == nil && asked
}

// giveUp has the log go to who asks for it, once what is queued is stored. The lock is held.
func (l *attemptLog) giveUp() {
	if l.err != nil || l.yielding {
		return
	}
	l.yielding = true
	if l.active != nil && l.active.refusal() == nil {
		l.active.flush()
	}
	l.supersede()
}

// idle is what the committer does before it ends. The lock is held.
func (l *attemptLog) idle() {
	if l.yielding {
		l.yield()
	}
	l.rest()
}

// yield lets go of a log that another asks for, once nothing is queued. The lock is held.
func (l *attemptLog) yield() {
	l.yielding, l.err = false, errTakenOver
	l.rest()
	if err := unlock(l.file, isOwned); err != nil {
		l.dir.opts.Logger.Error("unlocking a log", "dir", l.path, "error", err)
	}
	l.changed.wake()
	l.looked.wake()
}

// lose ends the writers of a log that was taken over. The lock is held.
func (l *attemptLog) lose() {
	l.err = errTakenOver
	l.supersede()
	for _, w := range l.writers {
		if w.err == nil && w.end > l.durable {
			w.err = l.err
		}
		w.space.wake()
	}
	l.changed.wake()
}

// supersede has the writers take no more. The lock is held.
func (l *attemptLog) supersede() {
	for _, w := range l.writers {
		w.supersede()
	}
	l.changed.wake()
}

// unloadShared leaves the log to the next owner, who need not be another.
func (l *attemptLog) unloadShared(failed bool) {
	defer func() {
		if err := l.file.Close(); err != nil {
			l.dir.opts.Logger.Warn("closing a log", "dir", l.path, "error", err)
		}
		l.file, l.holding = nil, false
	}()
	if failed {
		return
	}
	if err := l.hold(); errors.Is(err, errTakenOver) {
		return
	} else if err != nil {
		l.dir.opts.Logger.Error("locking a log", "dir", l.path, "error", err)
		return
	}
	switch size := l.durable - l.base; {
	case sizeIs(l.file, size) != nil:
	case size > 0:
		l.dir.verify(l.ref, verified{end: l.durable, left: true})
	default: // a call without lines leaves nothing behind
		path := filepath.Join(l.path, segmentName(l.base))
		if err := errors.Join(os.Remove(path), syncDir(l.path)); err != nil {
			l.dir.opts.Logger.Warn("removing an empty segment of a log", "path", path, "error", err)
		}
	}
}
