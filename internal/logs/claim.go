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

// errBusy is what an opener gets who cannot have the log.
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

// claim makes this process the owner of the log, and reads it back. It returns the log
// as found, and the segment that is to be written.
func (l *attemptLog) claim(ctx context.Context) (r *recovered, owned file, err error) {
	err = await(ctx, func() (bool, error) {
		bases, err := listSegments(l.path)
		switch {
		case err != nil:
			return false, err
		case len(bases) == 0:
			r, owned, err = l.claimNew()
		default:
			r, owned, err = l.claimAfter(ctx, bases)
		}
		return r != nil, err
	})
	return r, owned, err
}

// claimNew claims a log that has no segment; a nil result: it has one now.
func (l *attemptLog) claimNew() (*recovered, file, error) {
	if err := makeDir(l.dir.opts.Root, l.rel); err != nil {
		return nil, nil, err
	}
	f, err := l.dir.own(l.path, 0)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return &recovered{segments: segments{dir: l.path, bases: []int64{0}}}, f, nil
}

// claimAfter claims a log that has segments; a nil result: they have changed meanwhile.
func (l *attemptLog) claimAfter(ctx context.Context, bases []int64) (r *recovered, owned file, err error) {
	last := bases[len(bases)-1]
	f, err := l.dir.openFile(filepath.Join(l.path, segmentName(last)), sharedFlags)
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
	if err := share(f, isAsked); err != nil {
		return nil, nil, fmt.Errorf("lock a log: %w", err)
	}
	if err := l.ask(ctx, f); err != nil {
		return nil, nil, err
	}
	ok, err := within(ctx, writePatience*l.dir.patience, func() (bool, error) { return tryLock(f, mayWrite) })
	if err != nil {
		return nil, nil, fmt.Errorf("lock a log: %w", err)
	}
	if !ok {
		return nil, nil, errBusy
	}
	if same, err := l.isLast(f, last); err != nil || !same {
		return nil, nil, err
	}
	return l.succeed(f, bases)
}

// ask has the owner of a segment let go, if there is one, and waits for that a while.
func (l *attemptLog) ask(ctx context.Context, f file) error {
	free := func() (bool, error) {
		owned, err := lockedElsewhere(f, isOwned)
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

// isLast reports whether f is the log's last segment still.
func (l *attemptLog) isLast(f file, base int64) (bool, error) {
	bases, err := listSegments(l.path)
	if err != nil || len(bases) == 0 || bases[len(bases)-1] != base {
		return false, err
	}
	held, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(filepath.Join(l.path, segmentName(base)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(held, there), err
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
		if again, err := tryLock(f, isOwned); err != nil || again {
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
	next, err := l.dir.own(l.path, r.end)
	if err != nil {
		return nil, nil, err
	}
	r.bases = append(slices.Clone(bases), r.end)
	return r, next, nil
}

// mendShared cuts off what suspect noted of the last segment, which has a size, and returns
// what that is then. If another segment was begun meanwhile, then whoever did took it for stored.
func (d *Dir) mendShared(l *attemptLog, f file, last, size int64) (int64, error) {
	err := d.mend(l, func(keep int64) error {
		if keep < last || keep >= last+size {
			return nil
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
