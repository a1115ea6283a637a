package agentrpc

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

const (
	// finalAcksWithin bounds the wait for a client to take the last acks (LOG-12).
	finalAcksWithin = 30 * time.Second
	// lastAcksWithin bounds it where the call is being ended by the server.
	lastAcksWithin = time.Second
)

var errShuttingDown = rpcstatus.New(codes.Unavailable, rpcstatus.ReasonShuttingDown, "the server is shutting down; open the stream again", nil)

// logCall is a StreamLogs call that is under way. Very many of them are open and quiet at a
// time, so what it takes counts: a goroutine that waits for the call's end, and one that
// receives; each keeps the stack that it has grown to for as long as the stream is open, so what
// takes a deep one is done in further ones, which are there only for as long as that takes.
type logCall struct {
	*Server
	id     *auth.AgentIdentity
	recv   func() (*agentv1.LogLine, error)
	send   func(*agentv1.LogAck) error
	writer logs.LineWriter
	ended  chan error  // tells why the call ends: has room for all who might say so
	sent   atomic.Bool // lines came since the attempt was looked at

	closed   bool // writer is,
	closeErr error

	// Acks are sent as they come, the latest of each stream, and all once more at the end
	// (LOG-5). Nothing is sent any more once that has failed.
	news    bool       // there are more,
	sending bool       // a goroutine is at it,
	acked   chan error // and tells here that it is done; nil before the first
	failed  error
}

// run moves lines into the log and acks out. Lines are received in one goroutine and acks
// sent in another, which is there only while there are some, so that a client that reads none
// slows nothing (LOG-12); this one waits for an end.
func (c *logCall) run(ctx context.Context) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	defer c.abandon()
	c.ended = make(chan error, 2) // of takeLines, and of a look
	go c.guardedGo(ctx, c.ended, c.takeLines)
	return c.finish(ctx, c.awaitEnd(ctx))
}

// open opens the attempt's log, where it may be, by the richest way that the sink knows.
func (c *logCall) open(ctx context.Context) error {
	bounded, cancel := withinReason(ctx)
	defer cancel()
	turn := c.awaitTurn(ctx, bounded)
	opened := make(chan error, 1)
	go c.guardedGo(ctx, opened, func(ctx context.Context) (err error) {
		if err = c.admit(ctx, bounded, c.id, turn); err != nil {
			return err
		}
		ref := logs.RefOf(c.id.Attempt())
		if c.lines != nil {
			if err = ctx.Err(); err != nil { // a call that is gone takes the log over from none
				return err
			}
			c.writer, err = c.lines.OpenLines(ctx, ref)
			return err
		}
		writer, err := c.sink.Open(ref)
		if err == nil {
			c.writer = newEventLines(writer)
		}
		return err
	})
	return <-opened
}

// close closes the writer, once.
func (c *logCall) close() error {
	if !c.closed {
		c.closed = true
		c.closeErr = c.writer.Close()
	}
	return c.closeErr
}

// abandon closes the writer if nothing has: a panic further in passes through here as well.
func (c *logCall) abandon() { _ = c.close() }

// finish ends the call, for a cause; nil: its client has ended it.
func (c *logCall) finish(ctx context.Context, cause error) error {
	failed := c.close()
	if failed == nil && cause == nil {
		return c.sendLast(ctx, finalAcksWithin)
	}
	// The call ends with an error anyway: what the client still learns is a bonus.
	_ = c.sendLast(ctx, lastAcksWithin)
	return closeFailed(failed, cause)
}

// guardedGo sends what [Server.guarded] returns.
func (s *Server) guardedGo(ctx context.Context, result chan<- error, work func(context.Context) error) {
	result <- s.guarded(ctx, work)
}

// guarded returns what work does; a panic in it is logged and returned as an error,
// since a goroutine's panic would end the process (ERR-2).
func (s *Server) guarded(ctx context.Context, work func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.guard.Panicked(ctx, interceptor.CallFrom(ctx), p)
		}
	}()
	return work(ctx)
}

// takeLines receives until the client ends, and returns why: nil when it half-closed.
func (c *logCall) takeLines(ctx context.Context) error {
	for {
		message, err := c.recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.take(ctx, message); err != nil {
			return err
		}
	}
}

func (c *logCall) take(ctx context.Context, message *agentv1.LogLine) error {
	line := c.lineOf(message)
	if err := c.writer.Append(ctx, line); err != nil {
		return err
	}
	c.sent.Store(true)
	c.publish(ctx, c.id, line.Event)
	return nil
}

// awaitEnd returns why the call ends: the client's end, a newer call of the attempt
// (LOG-13), the server's shutdown (LOG-10), or the end of the attempt's grace (LOG-9). Until
// then it has acks sent.
func (c *logCall) awaitEnd(ctx context.Context) error {
	defer c.lookNowAndThen(ctx)()
	for {
		select {
		case err := <-c.ended:
			return err
		case <-c.drain:
			return errShuttingDown
		case <-c.writer.Ready():
			if c.superseded() {
				return domain.ErrAborted
			}
			c.news = true
		case err := <-c.acked:
			c.sending, c.failed = false, err
		}
		if c.news && !c.sending && c.failed == nil {
			c.news = false
			c.sendAside(ctx)
		}
	}
}

// superseded reports whether a newer call has taken over. The writer's Ready tells when to look:
// to wait for that by itself would cost each open stream as much as one more thing it waits for.
func (c *logCall) superseded() bool {
	select {
	case <-c.writer.Superseded():
		return true
	default:
		return false
	}
}

func (c *logCall) sendAside(ctx context.Context) {
	if c.acked == nil {
		c.acked = make(chan error, 1)
	}
	c.sending = true
	go c.guardedGo(ctx, c.acked, c.sendNews)
}

func (c *logCall) sendNews(context.Context) error { return sendAcks(c.send, c.writer.Acks()) }

// sendLast sends what there is after the writer was closed, and waits for it within bounds.
func (c *logCall) sendLast(ctx context.Context, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for last := false; c.failed == nil; {
		if !c.sending {
			if last {
				return nil
			}
			last = true
			c.sendAside(ctx)
		}
		select {
		case c.failed = <-c.acked:
			c.sending = false
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			// The lines are durable; the client merely did not want to know.
			return nil
		}
	}
	return c.failed
}
