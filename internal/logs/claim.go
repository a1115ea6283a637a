package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/neochaotic/leoflow/internal/domain"
)

// How a log of a shared root comes to the process that opens it: what its owners do is
// told at the locks.

// writePatience is how many times the patience with an owner that was asked is waited for
// one that is writing.
const writePatience = 3

// errBusy is what an opener gets who cannot have the log, or not now: of calls that come to
// several servers at once, nobody knows which the agent began last. Only the one whose agent
// is there still is made again, and is the newest then. To end the other instead may be to end the
// newer one (LOG-13), and an agent does not come again after that.
var errBusy = fmt.Errorf("another server is writing the log: %w", domain.ErrUnavailable)

// loadShared is load for an owner among several.
func (l *attemptLog) loadShared(ctx context.Context) (*recovered, error) {
	r, f, err := l.claim(ctx)
	if err != nil {
		return nil, err
	}
	l.file, l.base, l.holding = f, r.bases[len(r.bases)-1], false
	l.records = r.headed
	return r, nil
}

// confirm has the committer look whether the log is this process's still, and let go of it
// if another asks. That one came first, so it is waited for a while. The caller has the
// life token.
func (l *attemptLog) confirm(ctx context.Context) error {
	l.mu.Lock()
	l.looking = true
	l.rouse()
	for l.looking || l.yielding {
		looked := l.looked.wait()
		l.mu.Unlock()
		select {
		case <-looked:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
	}
	lost := errors.Is(l.err, errTakenOver)
	l.mu.Unlock()
	if !lost {
		return nil
	}
	_, err := within(ctx, l.dir.patience, func() (bool, error) { // the committer does nothing any more
		asked, err := lockedElsewhere(l.file, isAsked)
		return !asked, err
	})
	return err
}

// arrival is what a call found that came for a log.
type arrival struct {
	looked bool
	behind bool // another asked for it already
}

// claim makes this process the owner of the log, and reads it back. It returns the log
// as found, and the segment that is to be written.
func (l *attemptLog) claim(ctx context.Context) (r *recovered, owned file, err error) {
	var came arrival
	err = await(ctx, func() (bool, error) {
		bases, err := listSegments(l.path)
		switch {
		case err != nil:
			return false, err
		case len(bases) == 0:
			r, owned, err = l.claimNew()
		default:
			r, owned, err = l.claimAfter(ctx, bases, &came)
		}
		return r != nil, err
	})
	return r, owned, err
}

// claimNew claims a log that has no segment.
func (l *attemptLog) claimNew() (*recovered, file, error) {
	if err := makeDir(l.dir.opts.Root, l.rel); err != nil {
		return nil, nil, err
	}
	f, err := l.ownFirst(0)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, errBusy
	}
	if err != nil {
		return nil, nil, err
	}
	return &recovered{segments: segments{dir: l.path, bases: []int64{0}}}, f, nil
}

// claimAfter claims a log that has segments; a nil result: they have changed meanwhile.
func (l *attemptLog) claimAfter(ctx context.Context, bases []int64, came *arrival) (r *recovered, owned file, err error) {
	f, err := l.dir.openFile(filepath.Join(l.path, segmentName(bases[len(bases)-1])), sharedFlags)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if owned != f {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := ctx.Err(); err != nil { // a call that is gone asks for nothing, however late it wakes
		return nil, nil, err
	}
	if err := l.ask(ctx, f, bases, came); err != nil {
		return nil, nil, err
	}
	ok, err := within(ctx, writePatience*l.dir.patience, func() (bool, error) { return tryLock(f, mayWrite) })
	if err != nil {
		return nil, nil, fmt.Errorf("lock a log: %w", err)
	}
	if !ok {
		return nil, nil, errBusy
	}
	same, claimed, err := l.lookAgain(f, bases[len(bases)-1])
	switch {
	case err != nil:
		return nil, nil, err
	case claimed && !came.behind:
		return nil, nil, errBusy
	case !same:
		return nil, nil, nil
	}
	return l.succeed(f, bases)
}

// ask has the owner of the last segment let go, if there is one, and waits for that a while.
func (l *attemptLog) ask(ctx context.Context, f file, bases []int64, came *arrival) error {
	if !came.looked {
		behind, err := lockedElsewhere(f, isAsked)
		if err != nil {
			return fmt.Errorf("lock a log: %w", err)
		}
		*came = arrival{true, behind}
	}
	if err := share(f, isAsked); err != nil {
		return fmt.Errorf("lock a log: %w", err)
	}
	free := func() (bool, error) {
		owned, err := l.hasOwner(f, bases)
		return !owned, err
	}
	if done, err := free(); done || err != nil {
		return err
	}
	stop, err := l.dir.ring(l.rel)
	if err != nil {
		return err
	}
	defer stop()
	_, err = within(ctx, l.dir.patience, free)
	return err
}

// hasOwner reports whether another has the last segment, which is f. Who begins one has the right
// to write the one before until the new one is locked.
func (l *attemptLog) hasOwner(f file, bases []int64) (bool, error) {
	owned, err := lockedElsewhere(f, isOwned)
	n := len(bases)
	if n == 1 || owned || err != nil {
		return owned, err
	}
	if info, err := f.Stat(); err != nil || info.Size() > 0 { // what is written was locked
		return false, err
	}
	if _, owned, err = segmentLocked(l.path, bases[n-2], mayWrite); owned || err != nil {
		return owned, err
	}
	return lockedElsewhere(f, isOwned)
}

// lookAgain reports whether f, which this process has the right to write, is the log's last
// segment still, and if not so, whether another has claimed the log.
func (l *attemptLog) lookAgain(f file, base int64) (same, claimed bool, err error) {
	bases, err := listSegments(l.path)
	if err != nil {
		return false, false, err
	}
	there, err := isAt(f, filepath.Join(l.path, segmentName(base)))
	if err != nil {
		return false, false, err
	}
	next, _ := slices.BinarySearch(bases, base+1)
	switch {
	case !there: // an owner without lines has left
		return false, len(bases) > 0 && bases[len(bases)-1] >= base, nil
	case next == len(bases):
		return true, false, nil
	}
	for ; next < len(bases) && !claimed && err == nil; next++ { // not: its owner may have begun others
		claimed, err = sealedWithin(l.path, base, bases[next]-int64(len(sealLine)), bases[next])
		base = bases[next]
	}
	return false, claimed, err
}

// isAt reports whether a path leads to f.
func isAt(f file, path string) (bool, error) {
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	held, err := f.Stat()
	return err == nil && os.SameFile(held, there), err
}

// ownFirst is own for who claims a log. Who came before the new segment was locked took it for one
// without an owner, and need not ask.
func (l *attemptLog) ownFirst(base int64) (file, error) {
	f, err := l.dir.own(l.path, base)
	if err != nil {
		return nil, err
	}
	asked, err := lockedElsewhere(f, isAsked)
	if err == nil {
		err = sizeIs(f, 0) // not before that: who asks no more has sealed it
	}
	if err == nil && asked || errors.Is(err, errTakenOver) {
		err = errBusy
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// succeed makes this process the owner after another. It has the right to write f, the
// last of the segments. The owner of before is oneself if nothing came since.
func (l *attemptLog) succeed(f file, bases []int64) (*recovered, file, error) {
	r := &recovered{segments: segments{dir: l.path, bases: bases}}
	last := bases[len(bases)-1]
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	size, err := l.dir.mendShared(l, f, last, info.Size())
	if err != nil {
		return nil, nil, err
	}
	r.end = last + size
	if l.dir.wasLeft(l.ref, r.end) {
		if again, err := takeAgain(f); err != nil || again {
			err = errors.Join(err, unlock(f, isAsked), unlock(f, mayWrite), l.dir.readState(r))
			if err != nil {
				return nil, nil, err
			}
			return r, f, nil
		}
	}
	if err := l.dir.seal(r, f, size); err != nil {
		return nil, nil, err
	}
	if err := l.dir.readState(r); err != nil {
		return nil, nil, err
	}
	next, err := l.ownFirst(r.end)
	if err != nil {
		return nil, nil, err
	}
	r.bases = append(slices.Clone(bases), r.end)
	return r, next, nil
}

// takeAgain has a former owner be the owner of its segment again, unless others ask for that: they
// came before, and would be let in after.
func takeAgain(f file) (bool, error) {
	if ok, err := tryLock(f, isOwned); err != nil || !ok {
		return false, err
	}
	asked, err := lockedElsewhere(f, isAsked)
	if asked || err != nil {
		return false, errors.Join(err, unlock(f, isOwned))
	}
	return true, nil
}

// mendShared cuts off what suspect noted of the last segment, which has a size, and returns
// what that is then. Whoever has begun another segment meanwhile, or left a seal, took it for
// stored.
func (d *Dir) mendShared(l *attemptLog, f file, last, size int64) (int64, error) {
	err := d.mend(l, func(keep int64) error {
		if keep < last || keep >= last+size {
			return nil
		}
		if sealed, err := sealedWithin(l.path, last, keep, last+size); sealed || err != nil {
			return err
		}
		size = keep - last
		return errors.Join(f.Truncate(size), f.Sync())
	})
	return size, err
}

// seal ends the last segment of r after its last whole line, durably.
func (d *Dir) seal(r *recovered, f file, size int64) error {
	last := r.bases[len(r.bases)-1]
	keep, err := r.wholeLines(size)
	if err != nil {
		return err
	}
	if keep-last < size {
		d.warnTorn(r.dir, last, last+size-keep)
		if err := f.Truncate(keep - last); err != nil {
			return err
		}
	}
	if _, err := f.Write(sealLine); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	r.end = keep + int64(len(sealLine))
	err = sizeIs(f, r.end-last)
	if errors.Is(err, errTakenOver) {
		return errBusy // it is no older call that is told so
	}
	return err
}
