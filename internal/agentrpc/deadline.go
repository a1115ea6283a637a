package agentrpc

import (
	"context"
	"time"
)

// together is the time of beats that share a deadline: as much less than they might is what
// the store has for its word.
const together = 20 * time.Millisecond

// deadline is one of beats that came at about the same time: there are far too many of them
// for each to have a timer of its own.
type deadline struct {
	from, at time.Time
	past     chan struct{}
}

// until returns the deadline of a beat that came at now.
func (b *beats) until(now time.Time) *deadline {
	if d := b.latest.Load(); d != nil && now.Sub(d.from) < together && !now.Before(d.from) {
		return d
	}
	d := &deadline{from: now, at: now.Add(b.wait), past: make(chan struct{})}
	time.AfterFunc(b.wait, func() { close(d.past) })
	b.latest.Store(d)
	return d
}

// bounded is a context that ends at a deadline of many.
type bounded struct {
	context.Context //nolint:containedctx // it is one
	by              *deadline
}

// Deadline implements [context.Context].
func (c *bounded) Deadline() (time.Time, bool) { return c.by.at, true }

// Done implements [context.Context].
func (c *bounded) Done() <-chan struct{} { return c.by.past }

// Err implements [context.Context].
func (c *bounded) Err() error {
	select {
	case <-c.by.past:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
