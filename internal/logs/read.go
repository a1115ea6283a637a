package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Read implements [Reader]. It ends early, though there are more records, with the
// chunk in which it has read some 256 bytes for each record of limit, 64 KiB at
// least and 1 MiB at most. A position inside a record counts as the next one's.
func (d *Dir) Read(ctx context.Context, ref Ref, after int64, limit int) ([]Record, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	l, err := d.acquire(ref, false)
	if err != nil {
		return nil, err
	}
	defer d.release(l)
	size := min(max(minChunk, limit*256), maxChunk)
	pos := max(after, 0)
	var out []Record
	for budget := size; ; {
		raw, start, err := l.chunk(ctx, pos, size)
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if len(raw) == 0 {
			return out, nil
		}
		out, pos = d.records(out, l, raw, start, limit)
		budget -= len(raw)
		if len(out) == limit || budget <= 0 && len(out) > 0 {
			return out, nil
		}
	}
}

// records decodes lines onto out, up to limit, and returns where it stopped.
func (d *Dir) records(out []Record, l *attemptLog, raw []byte, pos int64, limit int) ([]Record, int64) {
	for len(raw) > 0 && len(out) < limit {
		n := bytes.IndexByte(raw, '\n') + 1
		pos += int64(n)
		rec, err := decode(raw[:n-1])
		raw = raw[n:]
		switch {
		case err != nil:
			d.opts.Logger.Warn("unreadable record in a log", "dir", l.path, "before", pos, "error", err)
		case !rec.hidden():
			out = append(out, rec.record(pos))
		}
	}
	return out, pos
}

// chunk reads durable lines. Of a log that somebody writes that is up to its last
// sync; else all whole lines are, once the file was synced.
func (l *attemptLog) chunk(ctx context.Context, pos int64, size int) ([]byte, int64, error) {
	for {
		if raw, start, loaded, err := l.loadedChunk(ctx, pos, size); loaded || err != nil {
			return raw, start, err
		}
		if err := l.life.take(ctx); err != nil {
			return nil, pos, err
		}
		if l.loaded { // in the meantime; who has the token may look without the lock
			l.life.give()
			continue
		}
		raw, start, err := l.unloadedChunk(pos, size)
		l.life.give()
		if l.dir.opts.Shared && errors.Is(err, fs.ErrNotExist) {
			if err := pause(ctx); err != nil {
				return nil, pos, err
			}
			continue // its owner has removed an empty segment
		}
		return raw, start, err
	}
}

func (l *attemptLog) loadedChunk(ctx context.Context, pos int64, size int) ([]byte, int64, bool, error) {
	if err := l.read.take(ctx); err != nil {
		return nil, pos, false, err
	}
	defer l.read.give()
	l.mu.Lock()
	loaded := l.loaded
	segs := segments{dir: l.path, bases: l.bases, end: l.durable}
	l.mu.Unlock()
	if !loaded {
		return nil, pos, false, nil
	}
	raw, start, err := segs.chunk(pos, size)
	return raw, start, true, err
}

// unloadedChunk is called with the life token: nobody begins to write meanwhile.
func (l *attemptLog) unloadedChunk(pos int64, size int) ([]byte, int64, error) {
	segs := segments{dir: l.path}
	var err error
	if segs.bases, err = listSegments(l.path); err != nil || len(segs.bases) == 0 {
		return nil, pos, err
	}
	last := segs.bases[len(segs.bases)-1]
	tail, err := segmentSize(l.path, last)
	if err != nil {
		return nil, pos, err
	}
	segs.end = last + tail
	keep, suspected, err := l.suspected(last, segs.end)
	if err != nil {
		return nil, pos, err
	}
	switch {
	case suspected:
		segs.end = min(segs.end, keep)
	case !l.dir.isVerified(l.ref, segs.end):
		if err := l.dir.syncLog(l.rel, last); err != nil {
			return nil, pos, err
		}
		l.dir.verify(l.ref, verified{end: segs.end})
	}
	return segs.chunk(pos, size)
}

// suspected tells from which position on the last segment, which ends at another, is not to be
// read. What another process has gone on with is.
func (l *attemptLog) suspected(last, end int64) (keep int64, is bool, err error) {
	l.dir.mu.Lock()
	keep, is = l.dir.suspects[l.ref]
	l.dir.mu.Unlock()
	if !is || keep < last || !l.dir.opts.Shared {
		return keep, is && last <= keep, nil
	}
	sealed, err := sealedWithin(l.path, last, keep, end)
	return keep, !sealed, err
}

// Changed implements [Reader]. For a log that nobody writes it may also be closed
// when another log begins to be written.
func (d *Dir) Changed(ref Ref) <-chan struct{} {
	if changed := d.changedHere(ref); changed != nil {
		return changed
	}
	return d.follow(ref)
}

// changedHere is Changed where this Dir knows it itself; nil: another may write.
func (d *Dir) changedHere(ref Ref) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, ok := d.logs[ref]; ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.loaded {
			return l.changed.wait()
		}
	}
	if d.opts.Shared {
		return nil
	}
	return d.shard(ref).wait()
}

// Writing implements [Reader]: it is true from the return of an opener to the end
// of the writer's Close.
func (d *Dir) Writing(ref Ref) bool {
	if d.writing(ref) {
		return true
	}
	if !d.opts.Shared {
		return false
	}
	_, owned, err := d.lastOf(filepath.Join(d.opts.Root, ref.relDir()))
	return owned || err != nil // what cannot be seen may grow
}

func (d *Dir) writing(ref Ref) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.logs[ref]
	if !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.writers {
		if !w.over {
			return true
		}
	}
	return false
}
