package agentrpc

import (
	"context"
	"fmt"
	"sync"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
)

// eventLines makes a [logs.LineWriter] of a sink's plain writer, which knows no
// numbers and tells of durability only by closing without an error: the acks come
// then, one a stream.
type eventLines struct {
	mu     sync.Mutex // a plain writer takes one call at a time
	writer logs.LogWriter
	acks   prefixes
	closed bool
	failed bool // lines may be lost: nothing is acknowledged
}

func newEventLines(writer logs.LogWriter) *eventLines {
	return &eventLines{writer: writer, acks: prefixes{through: map[string]int64{}}}
}

// Append implements [logs.LineWriter].
func (e *eventLines) Append(_ context.Context, line logs.Line) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fmt.Errorf("log writer is closed: %w", domain.ErrUnavailable)
	}
	if err := e.writer.WriteEvent(cutText(line.Event)); err != nil {
		e.failed = true
		return err
	}
	e.acks.take(line)
	return nil
}

// Ready implements [logs.LineWriter]: there is no news before the end.
func (e *eventLines) Ready() <-chan struct{} { return nil }

// Superseded implements [logs.LineWriter]: a plain sink does not tell.
func (e *eventLines) Superseded() <-chan struct{} { return nil }

// Acks implements [logs.LineWriter].
func (e *eventLines) Acks() []logs.Ack {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed || e.failed {
		return nil
	}
	return e.acks.list()
}

// Close implements [logs.LineWriter]. It is called once.
func (e *eventLines) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	failed := e.failed
	e.closed, e.failed = true, true // until it is known, and if it panics
	err := e.writer.Close()
	e.failed = failed || err != nil
	return err
}

// maxStreamsAcked bounds what a call with ever new stream names can make us keep.
const maxStreamsAcked = 256

// prefixes follows, for a sink without numbers of its own, how far each stream of
// a call came without a hole, from its first number on (LOG-4).
type prefixes struct {
	order   []string
	through map[string]int64
}

func (p *prefixes) take(line logs.Line) {
	last, seen := p.through[line.Stream]
	if !seen && len(p.order) == maxStreamsAcked {
		return
	}
	if !seen {
		p.order = append(p.order, line.Stream)
		p.through[line.Stream] = line.Number
		return
	}
	if line.Number == last+1 || last == 0 {
		p.through[line.Stream] = line.Number
	}
}

func (p *prefixes) list() []logs.Ack {
	acks := make([]logs.Ack, len(p.order))
	for i, stream := range p.order {
		acks[i] = logs.Ack{Stream: stream, Through: p.through[stream]}
	}
	return acks
}
