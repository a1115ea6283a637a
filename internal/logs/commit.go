package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

const (
	appendFlags = os.O_WRONLY | os.O_APPEND
	createFlags = appendFlags | os.O_CREATE | os.O_EXCL
	// keepBuffer is the largest buffer that is kept for another batch.
	keepBuffer = 4 << 20
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

func takeBuffer() []byte { return *buffers.Get().(*[]byte) }

func giveBuffer(b []byte) {
	if cap(b) > 0 && cap(b) <= keepBuffer {
		b = b[:0]
		buffers.Put(&b)
	}
}

// tally counts lines and their bytes.
type tally struct{ lines, bytes int }

func (t *tally) add(lines, bytes int) { t.lines += lines; t.bytes += bytes }

// progress is how far a stream is durable once a batch is synced.
type progress struct {
	stream           *stream
	epoch            int
	through, ackable int64
	caller           *writer
	slot             int
}

// batch is what is written and synced together.
type batch struct {
	buf      []byte
	start    int64
	roll     bool // it begins a new segment
	progress []progress
	asked    bool // another process asks for the log; known once it is stored
}

// rouse has the committer see to what there is for it. The lock is held.
func (l *attemptLog) rouse() {
	if !l.committing && !l.leaving {
		l.committing = true
		go l.commit()
	}
}

// commit is the committer: it ends when nothing is queued.
func (l *attemptLog) commit() {
	for {
		l.mu.Lock()
		switch {
		case l.looking:
			l.look()
			l.mu.Unlock()
			continue
		case len(l.pending) == 0:
			l.idle()
			l.committing = false
			l.calm.wake()
			l.mu.Unlock()
			return
		case l.err != nil:
			l.pending = nil
			l.mu.Unlock()
			continue
		}
		b, err := l.take()
		l.mu.Unlock()
		if err == nil {
			err = l.write(&b)
		}
		l.mu.Lock()
		l.settle(&b, err)
		if b.asked {
			l.giveUp()
		}
		l.mu.Unlock()
		giveBuffer(b.buf)
	}
}

// take makes a batch of what is queued. If that fills the segment, the head of
// the next one is queued at once: the numbering is now what it is at the batch's
// end, and later it is not. The lock is held.
func (l *attemptLog) take() (batch, error) {
	b := batch{buf: l.pending, start: l.end - int64(len(l.pending)), roll: l.headSize > 0}
	for _, s := range l.dirty {
		s.dirty = false
		through := s.through()
		b.progress = append(b.progress, progress{
			stream: s, epoch: s.epoch, through: through, ackable: s.ackable(through), caller: s.caller, slot: s.slot,
		})
	}
	l.dirty = l.dirty[:0]
	for _, w := range l.writers {
		w.flying, w.waiting = w.waiting, tally{}
	}
	if b.roll || len(l.bases) == 0 {
		l.records = b.start + int64(l.headSize)
	}
	l.pending, l.headSize = nil, 0
	if l.end-l.records < l.dir.opts.SegmentBytes {
		return b, nil
	}
	states := make([]streamState, 0, len(l.streams))
	for _, s := range l.streams {
		state := s.streamState
		state.Missing = slices.Clone(state.Missing)
		states = append(states, state)
	}
	head, err := appendHead(takeBuffer(), states)
	if err != nil {
		return b, err
	}
	l.pending, l.headSize = head, len(head)
	l.end += int64(len(head))
	return b, nil
}

// write makes a batch durable. Only the committer calls it, without the lock.
func (l *attemptLog) write(b *batch) error {
	if l.dir.opts.Shared {
		return l.writeShared(b)
	}
	l.file = l.dir.files.begin(l)
	defer func() {
		l.dir.files.end(l, l.file)
		l.file = nil
	}()
	err := l.writeAlone(b)
	if err != nil && l.file != nil { // it is not known what it holds
		err = errors.Join(err, l.file.Close())
		l.file = nil
	}
	return err
}

// writeAlone is write where nobody else has the root.
func (l *attemptLog) writeAlone(b *batch) (err error) {
	switch {
	case b.roll || len(l.bases) == 0:
		err = l.newSegment(b.start)
	case l.file == nil:
		l.file, err = l.dir.openFile(filepath.Join(l.path, segmentName(l.base)), appendFlags)
	}
	if err != nil {
		return err
	}
	if _, err := l.file.Write(b.buf); err != nil {
		return err
	}
	return l.file.Sync()
}

// newSegment begins a segment in place of the one that was written, which is synced.
func (l *attemptLog) newSegment(base int64) error {
	if l.file != nil {
		err := l.file.Close()
		l.file = nil
		if err != nil {
			return err
		}
	}
	if len(l.bases) == 0 {
		if err := makeDir(l.dir.opts.Root, l.rel); err != nil {
			return err
		}
	}
	f, err := l.dir.openFile(filepath.Join(l.path, segmentName(base)), createFlags)
	if err != nil {
		return err
	}
	l.file, l.base = f, base
	l.mu.Lock()
	l.bases = append(slices.Clone(l.bases), base) // readers hold the old slice
	l.mu.Unlock()
	return syncDir(l.path)
}

// settle tells the writers how a batch went. The lock is held.
func (l *attemptLog) settle(b *batch, err error) {
	defer l.changed.wake()
	if errors.Is(err, errTakenOver) {
		l.lose()
		return
	}
	if err != nil {
		l.err = fmt.Errorf("write log: %w", err)
		for _, w := range l.writers {
			if w.err == nil && (w.end > l.durable || w == l.active) {
				w.err = l.err
			}
			w.space.wake()
		}
		return
	}
	l.durable = b.start + int64(len(b.buf))
	for _, p := range b.progress {
		if p.stream.epoch == p.epoch {
			p.stream.durable = p.through
			if p.caller != nil {
				p.caller.advance(p.slot, p.epoch, p.ackable)
			}
		}
	}
	for _, w := range l.writers {
		w.queue.add(-w.flying.lines, -w.flying.bytes)
		w.flying = tally{}
		w.space.wake()
	}
}
