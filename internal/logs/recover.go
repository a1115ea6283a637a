package logs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// recovered is a log as found on disk.
type recovered struct {
	segments
	streams []streamState
	headed  int64 // where the segment begins that has the last head; 0: none has
}

// What is remembered of a log that nobody writes: enough for what tasks print, and little
// for as many logs as are remembered.
const (
	maxKnownStreams = 8
	maxKnownHoles   = 8 // of all its streams
)

// known is what there is to know of a log that was written to the end, and well; nil where that is
// too much to be remembered.
func (l *attemptLog) known() *recovered {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.streams) > maxKnownStreams {
		return nil
	}
	r := &recovered{segments: segments{dir: l.path, bases: l.bases, end: l.durable}}
	holes := 0
	for _, s := range l.streams {
		state := s.streamState
		state.Missing = slices.Clone(state.Missing)
		holes += len(state.Missing)
		r.streams = append(r.streams, state)
	}
	if holes > maxKnownHoles {
		return nil
	}
	return r
}

// unchanged reports whether the log ends on disk where it is known to. Nobody but this
// process writes it, but somebody may have removed it.
func (r *recovered) unchanged() bool {
	bases, err := listSegments(r.dir)
	if err != nil || !slices.Equal(bases, r.bases) {
		return false
	}
	if len(bases) == 0 {
		return true
	}
	last := bases[len(bases)-1]
	size, err := segmentSize(r.dir, last)
	return err == nil && last+size == r.end
}

// recoverLog makes the log in dir whole after a crash and reads its numbering
// back: the torn end of a last line, which was never acked, is cut off, and what
// stays is synced, for nobody knows whether it was. It is where a log begins to
// be written.
func (d *Dir) recoverLog(rel string, verified bool) (*recovered, error) {
	r := &recovered{segments: segments{dir: filepath.Join(d.opts.Root, rel)}}
	var err error
	if r.bases, err = listSegments(r.dir); err != nil || len(r.bases) == 0 {
		return r, err
	}
	if err := d.trimTail(r); err != nil {
		return nil, err
	}
	if !verified && len(r.bases) > 0 {
		if err := d.syncLog(rel, r.bases[len(r.bases)-1]); err != nil {
			return nil, err
		}
	}
	return r, d.readState(r)
}

// trimTail cuts the last segment after its last whole line, and removes it if not
// even its head is whole. It sets the log's end.
func (d *Dir) trimTail(r *recovered) error {
	for len(r.bases) > 0 {
		last := r.bases[len(r.bases)-1]
		size, err := segmentSize(r.dir, last)
		if err != nil {
			return err
		}
		keep, err := r.wholeLines(size)
		if err != nil {
			return err
		}
		if keep > last || last == 0 {
			r.end = keep
			return d.truncate(r.dir, last, keep-last, size)
		}
		if err := errors.Join(os.Remove(filepath.Join(r.dir, segmentName(last))), syncDir(r.dir)); err != nil {
			return err
		}
		r.bases = r.bases[:len(r.bases)-1]
	}
	return nil
}

// wholeLines returns where the last whole line of the last segment ends, which has a size.
func (r *recovered) wholeLines(size int64) (int64, error) {
	last := r.bases[len(r.bases)-1]
	keep := last
	tail := segments{dir: r.dir, bases: []int64{last}, end: last + size}
	err := tail.each(last, func(_ []byte, next int64) bool { keep = next; return true })
	return keep, err
}

func (d *Dir) warnTorn(dir string, base, bytes int64) {
	d.opts.Logger.Warn("cutting off the torn end of a log", "dir", dir, "segment", base, "bytes", bytes)
}

func (d *Dir) truncate(dir string, base, keep, size int64) error {
	if keep == size {
		return nil
	}
	d.warnTorn(dir, base, size-keep)
	f, err := d.openFile(filepath.Join(dir, segmentName(base)), os.O_WRONLY)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(keep), f.Sync(), f.Close())
}

// syncLog makes a log durable that a dead process may have left unsynced. Only
// its last segment can be: the one before was synced before it began.
func (d *Dir) syncLog(rel string, last int64) error {
	f, err := d.openFile(filepath.Join(d.opts.Root, rel, segmentName(last)), os.O_WRONLY)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	for dir := rel; ; dir = filepath.Dir(dir) {
		if err := syncDir(filepath.Join(d.opts.Root, dir)); err != nil || dir == "." {
			return err
		}
	}
}

// readState reads the numbering back: from the head of the last segment that has
// one, and the records after it.
func (d *Dir) readState(r *recovered) error {
	from, state, err := r.lastHead()
	if err != nil {
		return err
	}
	r.headed = from
	index := make(map[string]int, len(state))
	for i := range state {
		index[state[i].Name] = i
	}
	err = r.each(from, func(line []byte, next int64) bool {
		rec, err := decode(line)
		if err != nil {
			d.opts.Logger.Warn("unreadable record in a log", "dir", r.dir, "before", next, "error", err)
			return true
		}
		if rec.hidden() {
			return true
		}
		i, ok := index[rec.Stream]
		if !ok {
			i = len(state)
			index[rec.Stream] = i
			state = append(state, streamState{Name: rec.Stream})
		}
		state[i].apply(&rec)
		return true
	})
	r.streams = state
	return err
}

func (r *recovered) lastHead() (int64, []streamState, error) {
	for i := len(r.bases) - 1; i >= 0; i-- {
		var head stored
		whole := false
		err := r.each(r.bases[i], func(line []byte, _ int64) bool {
			rec, err := decode(line)
			head, whole = rec, err == nil && rec.Mark == markHead
			return false
		})
		if err != nil {
			return 0, nil, err
		}
		if whole {
			return r.bases[i], head.Streams, nil
		}
	}
	return 0, nil, nil
}

// cutBack takes everything from position keep on off the log: bytes whose
// sync failed, and which must not count as stored when they are read back.
func (l *attemptLog) cutBack(keep int64) error {
	bases, err := listSegments(l.path)
	if err != nil {
		return err
	}
	for i := len(bases) - 1; i >= 0; i-- {
		if base := bases[i]; base > 0 && base >= keep {
			if err := os.Remove(filepath.Join(l.path, segmentName(base))); err != nil {
				return err
			}
			continue
		}
		size, err := segmentSize(l.path, bases[i])
		if err != nil {
			return err
		}
		if err := l.dir.truncate(l.path, bases[i], min(size, keep-bases[i]), size); err != nil {
			return err
		}
		break
	}
	if len(bases) == 0 {
		return nil
	}
	return syncDir(l.path)
}

// storedLine finds the line that holds a stream's number since the stream's last
// restart. It reads from the newest segment back.
func (s *segments) storedLine(stream string, number int64) (Record, bool, error) {
	line, restart := linePrefix(stream, number), restartPrefix(stream)
	for i := len(s.bases) - 1; i >= 0; i-- {
		var match []byte
		restarted := false
		seg := segments{dir: s.dir, bases: s.bases[i : i+1], end: s.limit(i)}
		err := seg.each(s.bases[i], func(raw []byte, _ int64) bool {
			switch {
			case bytes.HasPrefix(raw, line):
				match = bytes.Clone(raw)
			case bytes.HasPrefix(raw, restart):
				match, restarted = nil, true
			}
			return true
		})
		if err != nil {
			return Record{}, false, err
		}
		if match != nil {
			rec, err := decode(match)
			return rec.record(0), err == nil, nil
		}
		if restarted {
			break
		}
	}
	return Record{}, false, nil
}
