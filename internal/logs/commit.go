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
}

// commit is the committer: it ends when the log is stopping and nothing is queued.
func (l *attemptLog) commit() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for len(l.pending) == 0 && !l.stopping && !l.looking {
			l.idle()
			l.work.Wait()
		}
		if l.looking {
			l.look()
			l.mu.Unlock()
			continue
		}
		if len(l.pending) == 0 || l.err != nil {
			stop := l.stopping
			l.pending = l.pending[:0]
			l.mu.Unlock()
			if stop {
				return
			}
			continue
		}
		b, err := l.take()
		l.mu.Unlock()
		if err == nil {
			err = l.write(&b)
		}
		asked := l.dir.opts.Shared && err == nil && l.isAsked()
		l.mu.Lock()
		l.settle(&b, err)
		if asked {
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
	for w := range l.writers {
		w.flying, w.waiting = w.waiting, tally{}
	}
	if b.roll || l.file == nil {
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
	if b.roll || l.file == nil {
		if err := l.newSegment(b.start); err != nil {
			return err
		}
	}
	if _, err := l.file.Write(b.buf); err != nil {
		return err
	}
	return l.file.Sync()
}

func (l *attemptLog) newSegment(base int64) error {
	if l.file != nil {
		err := l.file.Close()
		l.file = nil
		if err != nil {
			return err
		}
	} else if err := makeDir(l.dir.opts.Root, l.rel); err != nil {
		return err
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
		for w := range l.writers {
			if w.err == nil && (w.end > l.durable || w == l.active) {
				w.err = l.err
			}
			w.wake()
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
	for w := range l.writers {
		w.queue.add(-w.flying.lines, -w.flying.bytes)
		w.flying = tally{}
		w.wake()
	}
}
