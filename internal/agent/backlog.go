package agent

import (
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// The streams of an attempt's log.
const (
	streamStdout = "stdout"
	streamStderr = "stderr"
	streamAgent  = "agent"
)

// The bounds of what a backlog holds.
const (
	maxQueued    = 4 << 20 // bytes of lines not sent yet, before the task has to wait
	maxKept      = 4 << 20 // bytes of lines sent and not acknowledged
	maxOvertime  = 4 << 20 // bytes beyond maxQueued once the task is over: what its pipes still held
	maxNotes     = 256     // lines of the agent's own not sent yet
	lineOverhead = 256     // bytes that a line costs beside its text
)

// entry is one line of a backlog.
type entry struct {
	line *agentv1.LogLine
	lane *lane
	seq  uint64 // place in the order in which lines were put, across streams
	size int
}

// lane is one stream's lines, in order: those before sent were sent on the present
// log stream and not acknowledged, the others were not.
type lane struct {
	entries []*entry
	sent    int
	number  int64 // of the last line put; 0 in the agent's own lane
	high    int64 // the highest number handed out to be sent
	acked   int64
}

// backlog holds log lines until they are acknowledged (A-LOG-2), within bounds, and
// hands them out in the order in which they were put. Safe for concurrent use.
//
// A full queue makes a reader of the task's output wait, as a slow server should
// (LOG-6). When nothing moved for the stall time, lines are dropped instead until
// something does, so that a dead control plane never holds up the task (A-LOG-3).
// Dropped lines keep their numbers: the gap shows (LOG-4).
//
// Lines sent and not acknowledged are bounded, too. A control plane that acknowledges
// while lines flow is sent no more until it does; of one that does not, the oldest go.
type backlog struct {
	session uint64
	stall   time.Duration

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change that a waiter may await
	lanes    map[string]*lane
	seq      uint64
	queued   int // bytes not sent yet
	kept     int // bytes sent and not acknowledged
	overtime int
	frontier uint64    // the newest line that was ever sent, by its place
	moved    time.Time // when a line last left the queue for good, or was acknowledged
	waiting  int       // readers that a full queue holds up now
	waited   bool      // one was, since heldUp was last asked
	shedding bool
	dropped  int  // lines dropped since the last note about it
	lost     int  // lines dropped in all
	acking   bool // acks release lines while lines flow
	rechecks bool // next is to be asked again after the stall time
	ended    bool
	dead     bool
}

func newBacklog(session uint64, stall time.Duration) *backlog {
	return &backlog{
		session: session, stall: stall, changed: make(chan struct{}),
		lanes: map[string]*lane{streamStdout: {}, streamStderr: {}, streamAgent: {}},
	}
}

// put adds the next line of a task's stream. It waits while the queue is full and moves.
func (b *backlog) put(stream string, level agentv1.LogLevel, text string) {
	now := timestamppb.Now()
	size := len(text) + lineOverhead
	b.mu.Lock()
	defer b.mu.Unlock()
	ln := b.lanes[stream]
	ln.number++
	number := ln.number
	for began := time.Now(); !b.dead && !b.shedding && b.queued+size > maxQueued+b.overtime; {
		b.waiting++
		b.waited = true
		b.shedding = !b.await(began)
		b.waiting--
	}
	if b.dead || b.queued+size > maxQueued+b.overtime {
		b.dropped++
		b.lost++
		return
	}
	b.add(ln, stream, level, text, number, now)
}

// heldUp reports whether a full queue held up a reader since it was last asked.
func (b *backlog) heldUp() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.waited || b.waiting > 0
	b.waited = false
	return held
}

// note adds a line of the agent's own, unnumbered; it never waits.
func (b *backlog) note(level agentv1.LogLevel, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ln := b.lanes[streamAgent]; !b.dead && !b.ended && len(ln.entries) < maxNotes {
		b.add(ln, streamAgent, level, text, 0, timestamppb.Now())
	}
}

func (b *backlog) add(ln *lane, stream string, level agentv1.LogLevel, text string, number int64, at *timestamppb.Timestamp) {
	b.seq++
	e := &entry{lane: ln, seq: b.seq, size: len(text) + lineOverhead, line: &agentv1.LogLine{
		Time: at, Level: level, Message: text, Stream: stream, LineNumber: number, Session: b.session,
	}}
	ln.entries = append(ln.entries, e)
	b.queued += e.size
	b.wake()
}

// await gives up the lock until something changes; false: no line got away for the
// stall time, counted from began at the earliest. A stream that is opened again and
// again, and takes the same lines each time, is no movement.
func (b *backlog) await(began time.Time) bool {
	if b.moved.After(began) {
		began = b.moved
	}
	changed := b.changed
	timer := time.NewTimer(time.Until(began.Add(b.stall)))
	defer timer.Stop()
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-changed:
		return true
	case <-timer.C:
		return false
	}
}

func (b *backlog) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// next returns the oldest line that was not sent, without taking it. When there is
// none it returns a channel that closes at the next change, and whether the log has
// ended, so that none will come. While sent ones must be acknowledged first, there is none.
func (b *backlog) next() (e *entry, changed <-chan struct{}, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ln := range b.lanes {
		if ln.sent < len(ln.entries) && (e == nil || ln.entries[ln.sent].seq < e.seq) {
			e = ln.entries[ln.sent]
		}
	}
	if e != nil && b.mustWait(e) {
		return nil, b.changed, false
	}
	if e != nil {
		e.lane.high = max(e.lane.high, e.line.GetLineNumber())
	}
	return e, b.changed, b.ended || b.dead
}

// mustWait reports whether a line is not to be sent before others are acknowledged. It
// is for no longer than the stall time, and not above a hole, which acks may never pass.
func (b *backlog) mustWait(e *entry) bool {
	if !b.acking || b.lost > 0 || b.kept+e.size <= maxKept {
		return false
	}
	left := b.stall - time.Since(b.moved)
	if left <= 0 {
		b.acking = false
		return false
	}
	if !b.rechecks {
		b.rechecks = true
		time.AfterFunc(left, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.rechecks = false
			b.wake()
		})
	}
	return true
}

// commit marks a line from next as sent. An unnumbered one is let go: its resend
// could not be told from another line. Of those kept, the oldest make room.
func (b *backlog) commit(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ln := e.lane
	if ln.sent < len(ln.entries) && ln.entries[ln.sent] == e {
		b.queued -= e.size
		b.kept += e.size
		ln.sent++
		if e.line.GetLineNumber() == 0 {
			b.release(ln, 1)
		}
	}
	for b.kept > maxKept {
		b.release(b.oldestSent(), 1)
	}
	if e.seq > b.frontier {
		b.frontier = e.seq
		b.progress()
	}
	b.wake()
}

// progress ends shedding, and tells in the log what it cost.
func (b *backlog) progress() {
	b.moved, b.shedding = time.Now(), false
	if b.dropped > 0 && !b.ended {
		text := fmt.Sprintf("%d lines were dropped while the control plane took none", b.dropped)
		b.dropped = 0
		b.add(b.lanes[streamAgent], streamAgent, agentv1.LogLevel_LOG_LEVEL_WARN, text, 0, timestamppb.Now())
	}
}

func (b *backlog) oldestSent() *lane {
	var oldest *lane
	for _, ln := range b.lanes {
		if ln.sent > 0 && (oldest == nil || ln.entries[0].seq < oldest.entries[0].seq) {
			oldest = ln
		}
	}
	return oldest
}

// release lets go of the first n lines of a lane.
func (b *backlog) release(ln *lane, n int) {
	for i, e := range ln.entries[:n] {
		if i < ln.sent {
			b.kept -= e.size
		} else {
			b.queued -= e.size
		}
		ln.entries[i] = nil
	}
	ln.entries = ln.entries[n:]
	ln.sent = max(0, ln.sent-n)
}

// ack lets go of a stream's lines through a number. An ack that names no stream, or
// a number never sent, releases nothing it should not. It reports whether any was let go.
func (b *backlog) ack(stream string, through int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ln, ok := b.lanes[stream]
	if !ok || stream == streamAgent {
		return false
	}
	ln.acked = max(ln.acked, min(through, ln.high))
	n := 0
	for n < len(ln.entries) && ln.entries[n].line.GetLineNumber() <= ln.acked {
		n++
	}
	b.release(ln, n)
	if n > 0 {
		b.acking = true
		b.progress()
	}
	b.wake()
	return n > 0
}

// rewind makes every line that was not acknowledged one to be sent (A-LOG-2).
func (b *backlog) rewind() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ln := range b.lanes {
		ln.sent = 0
	}
	b.queued += b.kept
	b.kept = 0
	b.wake()
}

// taskOver makes room for what the pipes of an ended task still hold.
func (b *backlog) taskOver() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.overtime = maxOvertime
	b.wake()
}

// end says that no line will follow.
func (b *backlog) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.wake()
}

// abandon lets go of everything, now and from now on.
func (b *backlog) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = true
	for _, ln := range b.lanes {
		b.lost += len(ln.entries) - ln.sent
		ln.entries, ln.sent = nil, 0
	}
	b.queued, b.kept = 0, 0
	b.wake()
}

// losses returns how many lines were never sent.
func (b *backlog) losses() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}
