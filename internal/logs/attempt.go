package logs

import (
	"context"
	"path/filepath"
	"sync"
)

// notifier tells any number of waiters that something happened. Its owner's lock
// guards it; nothing is allocated while nobody waits.
type notifier struct{ ch chan struct{} }

func (n *notifier) wait() <-chan struct{} {
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notifier) wake() {
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}

// token is one that somebody has, or nobody. While nobody waits for it, it is no more than this.
type token struct {
	mu    sync.Mutex
	taken bool
	given notifier
}

// take returns with the token, or the error of a context that ends before.
func (t *token) take(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.taken {
		given := t.given.wait()
		t.mu.Unlock()
		var err error
		select {
		case <-given:
		case <-ctx.Done():
			err = ctx.Err()
		}
		t.mu.Lock()
		if err != nil {
			return err
		}
	}
	t.taken = true
	return nil
}

func (t *token) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = false
	t.given.wake()
}

// attemptLog is one attempt's log. It is in Dir.logs while somebody writes or
// reads it; while a writer is open it is loaded: one goroutine, the committer,
// then writes and syncs what the writers queue. It is there only while something is queued:
// of very many open logs most are quiet. Nor does a quiet one hold a buffer, or for long a
// descriptor: see files. Where the root is shared its locks are on an open file, which it keeps.
//
// A batch is what was queued while the batch before was being synced.
type attemptLog struct {
	dir  *Dir
	ref  Ref
	rel  string
	path string

	refs int // guarded by Dir.mu

	life token // who has it may load and unload, or read the files of an unloaded log
	read token // likewise, for reading the files of a loaded log: one descriptor at a time

	mu       sync.Mutex // taken after Dir.mu by who needs both
	loaded   bool
	streams  map[string]*stream
	writers  []*writer
	active   *writer // the call that writes, unless it was taken over or ended
	changed  notifier
	bases    []int64 // of the segments that hold durable bytes
	pending  []byte  // encoded records that the committer has not taken
	dirty    []*stream
	headSize int // of the segment that pending begins; 0: pending goes on with the present one
	end      int64
	durable  int64
	err      error // of the committer; sticky until the log is loaded anew

	committing bool     // the committer is there,
	calm       notifier // and here it tells its end
	leaving    bool     // it is not to come again

	looking  bool // the committer is told to look
	looked   notifier
	yielding bool // another process asked for the log: it gets it when nothing is queued

	heldLines, heldBytes int // of all streams

	// The committer's own while it is there.
	file    file // nil between batches where the root is not shared
	base    int64
	records int64 // where the segment's records begin: after its head
	holding bool  // the right to write, where the root is shared
}

func newAttemptLog(d *Dir, ref Ref) *attemptLog {
	rel := ref.relDir()
	path := filepath.Join(d.opts.Root, rel)
	return &attemptLog{
		dir: d, ref: ref, rel: path[len(path)-len(rel):], path: path, // one text
	}
}

// prepare has the log loaded, and well, and no older call write it if the next one is one.
// The caller has the life token.
func (l *attemptLog) prepare(ctx context.Context, numbers bool) error {
	if l.loaded && numbers {
		if err := l.takeOver(ctx); err != nil {
			return err
		}
	}
	if l.loaded && l.dir.opts.Shared {
		if err := l.confirm(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock()
	failed := l.loaded && l.err != nil
	l.mu.Unlock()
	if failed {
		l.unload()
	}
	if l.loaded {
		return nil
	}
	return l.load(ctx)
}

// load reads the log back. The caller has the life token.
func (l *attemptLog) load(ctx context.Context) error {
	r, err := l.find(ctx)
	if err != nil {
		return err
	}
	l.dir.forgetVerified(l.ref)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range r.streams {
		l.know(newStream(s))
	}
	l.bases, l.end, l.durable = r.bases, r.end, r.end
	l.pending, l.dirty, l.headSize, l.err = nil, nil, 0, nil
	l.heldLines, l.heldBytes = 0, 0
	l.looking, l.yielding, l.leaving = false, false, false
	l.loaded = true
	return nil
}

// find reads the log back, and where the root is shared, opens what is to be written. Where
// it is not, that is opened, or created, with the first batch, so that a call without lines
// leaves nothing behind.
func (l *attemptLog) find(ctx context.Context) (*recovered, error) {
	if l.dir.opts.Shared {
		return l.loadShared(ctx)
	}
	if err := l.dir.mend(l, l.cutBack); err != nil {
		return nil, err
	}
	r, verified := l.dir.recall(l.ref)
	if r == nil || !r.unchanged() {
		var err error
		if r, err = l.dir.recoverLog(l.rel, verified); err != nil {
			return nil, err
		}
	}
	l.base = 0
	if len(r.bases) > 0 {
		l.base = r.bases[len(r.bases)-1]
	}
	l.records = l.base
	return r, nil
}

// unload waits until what is queued is written, and closes the file. After a
// failure it takes the unsynced bytes away. The caller has the life token.
func (l *attemptLog) unload() {
	l.mu.Lock()
	for l.committing {
		calm := l.calm.wait()
		l.mu.Unlock()
		<-calm
		l.mu.Lock()
	}
	l.leaving = true
	failed, durable := l.err != nil, l.durable
	l.mu.Unlock()
	if l.dir.opts.Shared {
		l.unloadShared(failed)
	} else {
		l.leave(failed, durable)
	}
	l.mu.Lock()
	l.loaded, l.streams, l.dirty = false, nil, nil
	l.changed.wake()
	l.mu.Unlock()
}

// leave closes the file.
func (l *attemptLog) leave(failed bool, durable int64) {
	l.dir.files.leave(l)
	if !failed {
		l.dir.verify(l.ref, verified{durable, true, l.known()})
		return
	}
	l.dir.suspect(l, durable)
	if err := l.dir.mend(l, l.cutBack); err != nil {
		l.dir.opts.Logger.Error("unsynced lines stay in a log until it is opened again", "dir", l.path, "error", err)
	}
}

// stream returns the stream of a name; nil when it is one too many, and its lines
// belong in [OverflowStream]. The lock is held.
func (l *attemptLog) stream(name string) *stream {
	if s, ok := l.streams[name]; ok {
		return s
	}
	if len(l.streams) >= l.dir.opts.MaxStreams {
		return nil
	}
	s := newStream(streamState{Name: name})
	l.know(s)
	return s
}

// know has s be one of the log's streams. The lock is held.
func (l *attemptLog) know(s *stream) {
	if l.streams == nil {
		l.streams = map[string]*stream{}
	}
	l.streams[s.Name] = s
}

// emit queues a record for w. The lock is held.
func (l *attemptLog) emit(w *writer, rec *Record) {
	l.grow()
	before := len(l.pending)
	l.pending = appendRecord(l.pending, rec)
	l.queued(w, len(l.pending)-before)
}

func (l *attemptLog) emitRaw(w *writer, raw []byte) {
	l.grow()
	l.pending = append(l.pending, raw...)
	l.queued(w, len(raw))
}

// grow makes pending ready to take a record, and calls the committer for the first.
func (l *attemptLog) grow() {
	if l.pending == nil {
		l.pending = takeBuffer()
	}
	if len(l.pending) == 0 {
		l.rouse()
	}
}

func (l *attemptLog) queued(w *writer, n int) {
	l.end += int64(n)
	w.end = l.end
	w.waiting.add(1, n)
	w.queue.add(1, n)
}

// touch makes the next batch tell how far s is durable. The lock is held.
func (l *attemptLog) touch(s *stream) {
	if !s.dirty {
		s.dirty = true
		l.dirty = append(l.dirty, s)
	}
}

// place stores a numbered line of w in its stream's order, or holds it until the
// lines below it have come, or drops it as a resend. keep stores it even if the
// number is taken. The lock is held.
func (l *attemptLog) place(w *writer, s *stream, rec *Record, keep bool) {
	switch n := rec.Number; {
	case n == s.Max+1:
		l.emit(w, rec)
		s.Max = n
		l.drain(w, s)
		l.touch(s)
	case n > s.Max+1:
		raw := appendRecord(nil, rec)
		if s.hold(n, raw) {
			l.heldLines++
			l.heldBytes += len(raw)
		}
		for l.heldLines > l.dir.opts.HoldLines || l.heldBytes > l.dir.opts.HoldBytes {
			l.skipHole(w, s) // this stream pays: it has at least the line that came
		}
	case s.Missing.remove(n) || keep:
		l.emit(w, rec)
		l.touch(s)
	default:
		w.tell(s, s.durable)
	}
}

// drain stores the held lines that have become next in line.
func (l *attemptLog) drain(w *writer, s *stream) {
	i := 0
	for ; i < len(s.held) && s.held[i].number == s.Max+1; i++ {
		l.emitRaw(w, s.held[i].raw)
		s.Max++
		l.heldLines--
		l.heldBytes -= len(s.held[i].raw)
	}
	if i == len(s.held) {
		s.held = nil
		return
	}
	clear(s.held[:i]) // let the lines go
	s.held = s.held[i:]
}

// skipHole marks the lowest hole of s and stores the lines above it, up to the
// next hole (LOG-4).
func (l *attemptLog) skipHole(w *writer, s *stream) {
	if len(s.held) == 0 {
		return
	}
	last := s.held[0].number - 1
	l.emit(w, &Record{
		Event: Event{Time: clampTime(l.dir.opts.Now()), Stream: s.Name},
		Mark:  MarkGap, Number: s.Max + 1, GapThrough: last, Session: s.Session,
	})
	s.skip(last)
	l.drain(w, s)
	l.touch(s)
}

// skipHoles leaves nothing held in s.
func (l *attemptLog) skipHoles(w *writer, s *stream) {
	for len(s.held) > 0 {
		l.skipHole(w, s)
	}
}

// restart begins the numbering of s anew, after a mark (LOG-3). The lock is held.
func (l *attemptLog) restart(w *writer, s *stream, session uint64) {
	l.skipHoles(w, s)
	l.emit(w, &Record{
		Event: Event{Time: clampTime(l.dir.opts.Now()), Stream: s.Name}, Mark: MarkRestart, Session: session,
	})
	s.streamState = streamState{Name: s.Name, Session: session}
	s.epoch++
	s.durable, s.before, s.highest = 0, 0, 0
	l.touch(s)
	w.forget(s)
}

// waitDurable waits until the log is durable up to end, which is no more than was
// queued, or has failed before. w's own failure comes first: after one the log
// may be loaded anew, and its positions then hold other lines.
func (w *writer) waitDurable(ctx context.Context, end int64) error {
	l := w.log
	for {
		l.mu.Lock()
		durable, err, changed := l.durable, l.err, l.changed.wait()
		failed := w.err
		l.mu.Unlock()
		switch {
		case failed != nil:
			return failed
		case durable >= end:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
