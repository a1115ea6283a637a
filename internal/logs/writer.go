package logs

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/neochaotic/leoflow/internal/domain"
)

// OverflowStream takes the lines of further streams once an attempt has its
// bounded number of them. They are kept unnumbered and are never acknowledged.
const OverflowStream = "other"

// ackSlot is how far one stream of a call is durable.
type ackSlot struct {
	name    string
	epoch   int
	through int64
	known   bool // something of the stream became durable
	news    bool // since the last Acks
}

// process is what is known of the agent process behind a call that sends no session.
type process int

const (
	processUnknown process = iota
	processSame            // that of the stored lines
	processNew             // a restarted one
)

// writer is one call's, or one plain opener's, view of a log. The log's lock
// guards the fields below it.
type writer struct {
	log     *attemptLog
	numbers bool // an OpenLines; else lines are stored unnumbered, beside the call's

	closing  sync.Once
	closeErr error

	ready, superseded chan struct{} // made once somebody asks for them
	announced         bool          // ready is to hold a value
	space             notifier      // for an Append that waits

	end     int64 // position after the last record queued
	queue   tally // not durable yet: bounds Append
	waiting tally // of queue, not taken by the committer
	flying  tally // of queue, in the batch under way
	err     error // sticky: lines were lost
	over    bool  // superseded is closed, or to be
	closed  bool
	slots   []ackSlot
	process process
}

func newWriter(l *attemptLog, numbers bool) *writer {
	return &writer{log: l, numbers: numbers}
}

// Ready implements [LineWriter].
func (w *writer) Ready() <-chan struct{} {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if w.ready == nil {
		w.ready = make(chan struct{}, 1)
		if w.announced {
			w.ready <- struct{}{}
		}
	}
	return w.ready
}

// Superseded implements [LineWriter].
func (w *writer) Superseded() <-chan struct{} {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if w.superseded == nil {
		w.superseded = make(chan struct{})
		if w.over {
			close(w.superseded)
		}
	}
	return w.superseded
}

// WriteEvent implements [LogWriter].
func (w *writer) WriteEvent(e Event) error {
	return w.Append(context.Background(), Line{Event: e})
}

// Append implements [LineWriter]. It fails with ErrUnavailable, wrapped, after
// Close, and with the failure of the disk after that.
func (w *writer) Append(ctx context.Context, line Line) error {
	rec := prepare(line, w.log.dir.opts.Now)
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := w.awaitSpace(ctx); err != nil {
		return err
	}
	s := l.stream(rec.Stream)
	switch {
	case s == nil:
		rec.Stream, rec.Number, rec.Session = OverflowStream, 0, 0
		l.emit(w, &rec)
		return nil
	case !w.numbers:
		rec.Number, rec.Session = 0, 0
		l.emit(w, &rec)
		return nil
	}
	w.adopt(s)
	if rec.Number == 0 {
		l.emit(w, &rec)
		l.touch(s)
		return nil
	}
	keep, err := w.identify(ctx, s, line.Time.IsZero(), &rec)
	if err != nil {
		return err
	}
	s.begun = true
	s.highest = max(s.highest, rec.Number)
	l.place(w, s, &rec, keep)
	return nil
}

// awaitSpace returns with the lock held, as it is called, when a line may be
// queued. A line is let in whatever its size as long as the bounds are not reached.
func (w *writer) awaitSpace(ctx context.Context) error {
	opts := &w.log.dir.opts
	for {
		if err := w.refusal(); err != nil {
			return err
		}
		if w.queue.lines < opts.QueueLines && w.queue.bytes < opts.QueueBytes {
			return nil
		}
		space := w.space.wait()
		w.log.mu.Unlock()
		var err error
		select {
		case <-space:
		case <-ctx.Done():
			err = ctx.Err()
		}
		w.log.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// refusal is why w takes no line any more. The lock is held.
func (w *writer) refusal() error {
	switch {
	case w.over:
		return fmt.Errorf("write log: %w", domain.ErrAborted)
	case w.err == nil && w.log.err != nil:
		w.err = w.log.err
	case w.err == nil && w.closed:
		return fmt.Errorf("log writer is closed: %w", domain.ErrUnavailable)
	}
	return w.err
}

// adopt makes s a stream of this call.
func (w *writer) adopt(s *stream) {
	if s.caller == w {
		return
	}
	s.caller, s.slot = w, len(w.slots)
	s.begun, s.decided, s.before, s.highest = false, false, s.Max, 0
	w.slots = append(w.slots, ackSlot{name: s.Name, epoch: s.epoch})
}

// advance notes that a stream is durable through a number. The lock is held.
func (w *writer) advance(slot, epoch int, through int64) {
	a := &w.slots[slot]
	if a.epoch != epoch || w.err != nil || a.known && through <= a.through {
		return
	}
	a.known, a.news = true, true
	a.through = max(a.through, through)
	w.announce()
}

// tell acknowledges what a resend showed to be durable already.
func (w *writer) tell(s *stream, durable int64) {
	w.advance(s.slot, s.epoch, s.ackable(durable))
}

// forget drops what was known of s before its restart.
func (w *writer) forget(s *stream) {
	w.slots[s.slot] = ackSlot{name: s.Name, epoch: s.epoch}
}

// announce tells of news, or of the end. The lock is held.
func (w *writer) announce() {
	w.announced = true
	if w.ready != nil {
		select {
		case w.ready <- struct{}{}:
		default:
		}
	}
}

// supersede has w take no more. The lock is held.
func (w *writer) supersede() {
	if w.over {
		return
	}
	w.over = true
	if w.superseded != nil {
		close(w.superseded)
	}
	w.announce()
	w.space.wake()
}

// Acks implements [LineWriter]. After a failure there are none.
func (w *writer) Acks() []Ack {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if w.err != nil {
		return nil
	}
	var acks []Ack
	for i := range w.slots {
		if a := &w.slots[i]; a.news {
			a.news = false
			acks = append(acks, Ack{Stream: a.name, Through: a.through})
		}
	}
	return acks
}

// Close implements [LineWriter] and [LogWriter].
func (w *writer) Close() error {
	w.closing.Do(func() { w.closeErr = w.close() })
	return w.closeErr
}

func (w *writer) close() error {
	l := w.log
	l.mu.Lock()
	if l.active == w && w.refusal() == nil {
		w.flush()
	}
	w.closed = true
	w.space.wake()
	end := w.end
	l.mu.Unlock()

	err := w.waitDurable(context.Background(), end)

	l.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	err = w.err
	l.writers = slices.DeleteFunc(l.writers, func(other *writer) bool { return other == w })
	if l.active == w {
		l.active = nil
	}
	for i := range w.slots {
		w.slots[i].news = true
	}
	w.announce()
	l.changed.wake()
	l.mu.Unlock()

	l.dir.retire(w)
	return err
}

// flush stores what is held above holes. The lock is held.
func (w *writer) flush() {
	if w.log.heldLines == 0 {
		return
	}
	for _, s := range w.log.streams {
		w.log.skipHoles(w, s)
	}
}

// takeOver ends the log's active call and waits until its lines are durable, or
// lost by a failure (LOG-13). If ctx ends before, the call stays the active one, for
// whoever comes next to wait for it too. The caller has the life token.
func (l *attemptLog) takeOver(ctx context.Context) error {
	l.mu.Lock()
	old := l.active
	if old == nil {
		l.mu.Unlock()
		return nil
	}
	if !old.over {
		if old.refusal() == nil {
			old.flush()
		}
		old.supersede()
		l.changed.wake()
	}
	end := old.end
	l.mu.Unlock()
	if err := old.waitDurable(ctx, end); err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}
