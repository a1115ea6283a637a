// Package logs keeps what tasks print: it takes numbered lines of an attempt's
// streams, makes them durable, tells how far each stream is durable, and reads
// them back.
//
// It may import internal/domain and the standard library's neighbours only; it
// knows nothing of gRPC, tokens or the store.
package logs

import (
	"context"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Ref names the log of one attempt. Two different refs never share a file,
// whatever characters they hold (ISO-1, LOG-9).
type Ref struct {
	TenantID, DagID, RunID, TaskID string
	TryNumber                      int
}

// RefOf returns the log of an attempt.
func RefOf(a domain.AttemptRef) Ref {
	return Ref{TenantID: a.TenantID, DagID: a.DagID, RunID: a.RunID, TaskID: a.TaskID, TryNumber: a.TryNumber}
}

// Event is one line of text and where it came from.
type Event struct {
	Time                   time.Time
	Level, Stream, Message string
}

// LogWriter takes the lines of one stream of calls, one at a time.
type LogWriter interface {
	// WriteEvent takes one line. An error means that the line may be lost.
	WriteEvent(Event) error
	// Close makes every line taken durable. An error means that some may be lost.
	Close() error
}

// Line is an event with the number that its sender gave it.
type Line struct {
	Event
	// Number counts from 1 within (attempt, stream, agent process); 0: unnumbered,
	// and then never taken for a resend (LOG-2, LOG-3).
	Number int64
	// Session is the agent process's own number; 0: it sends none.
	Session uint64
}

// Ack says through which number a stream is durable without a hole (LOG-1, LOG-4).
type Ack struct {
	Stream  string
	Through int64 // 0 for a stream that has only unnumbered lines
}

// LineWriter takes the lines of one StreamLogs call of an attempt. Append is
// called by one goroutine; Acks, Ready and Superseded may be used by another.
type LineWriter interface {
	// Append takes a line in the order of arrival. A line above a hole waits, within
	// bounds, for the lines below it; one whose number is stored is dropped, or, if
	// its hole was already marked, kept at the end. It returns when the line is
	// queued, not when it is durable, and blocks while the sink is behind (LOG-6).
	// It returns ErrAborted, wrapped, once a newer writer of the same attempt has
	// taken over (LOG-13), and ctx's error when ctx ends while it waits.
	Append(ctx context.Context, line Line) error
	// Ready receives a value after Acks has news, and after a newer writer of the attempt has
	// taken over. Signals coalesce.
	Ready() <-chan struct{}
	// Acks returns the streams whose durable prefix moved since the last call,
	// each once, with its latest number. After Close it returns every stream of the
	// call once more, unchanged ones included (LOG-5).
	Acks() []Ack
	// Superseded is closed when a newer writer of the attempt has taken over.
	Superseded() <-chan struct{}
	// Close makes every line taken durable, marks the holes that are left (LOG-4),
	// and releases the writer. Closing again returns the first result.
	Close() error
}

// LineSink opens the richer writers. A log sink that is only an opener of
// LogWriter still works; acknowledgement is then once, after Close.
type LineSink interface {
	// OpenLines begins a call's writing and takes over from an older one (LOG-13).
	// It reads back the attempt's high-water marks, so that lines sent again are
	// kept once (LOG-3).
	OpenLines(ctx context.Context, ref Ref) (LineWriter, error)
}

// The marks that a reader shows for a record that no task printed.
const (
	MarkRestart = "restart" // the agent process began again; its numbers start anew (LOG-3)
	// MarkGap: lines Number through GapThrough had not come when the call ended, or
	// when too much waited above them (LOG-4). What comes of them in a later call is
	// kept where it comes, after the mark and with its own numbers; a log is only
	// ever appended to.
	MarkGap = "gap"
)

// Record is one stored line, or one mark. Between two restart marks of its stream
// the numbers of a stream ascend, but for lines that came after their gap was
// marked (LOG-2).
type Record struct {
	Event
	Number     int64
	Session    uint64
	Mark       string // empty: a line; a mark is of its Stream alone
	GapThrough int64  // the last missing number, for MarkGap; Number is the first
	Cut        bool   // the line was longer than the limit, and ends in CutMark (LOG-7)
	// Next is the position after this record, for Reader.Read.
	Next int64
}

// Reader reads an attempt's log while it is written and after.
type Reader interface {
	// Read returns up to limit records from position after (0: the beginning),
	// durable ones only. No records and no error means that there are none yet.
	// A log that nobody has written to reads as empty. Positions stay valid for as
	// long as the log is kept, across restarts.
	Read(ctx context.Context, ref Ref, after int64, limit int) ([]Record, error)
	// Changed returns a channel that is closed when the log may have grown, or a
	// writer of it opened or closed, after the call. Take it before Read, so as to
	// miss nothing.
	Changed(ref Ref) <-chan struct{}
	// Writing reports whether a call is writing to the log now.
	Writing(ref Ref) bool
}
