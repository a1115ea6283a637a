package agentrpc

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
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
	// readmitEvery is how often a stream that sent lines meanwhile is held against its
	// attempt's end again (LOG-9, AUTH-10), unless set, and readmitQuietEvery how often one that
	// did not: most of very many open streams are quiet at a time.
	readmitEvery      = 5 * time.Second
	readmitQuietEvery = time.Minute
)

var errShuttingDown = rpcstatus.New(codes.Unavailable, rpcstatus.ReasonShuttingDown, "the server is shutting down; open the stream again", nil)

// openLog opens the attempt's log, by the richest way that the sink knows.
func (s *Server) openLog(ctx context.Context, ref logs.Ref) (logs.LineWriter, error) {
	if s.lines != nil {
		return s.lines.OpenLines(ctx, ref)
	}
	writer, err := s.sink.Open(ref)
	if err != nil {
		return nil, err
	}
	return newEventLines(writer), nil
}

// streamLines moves lines into the log and acks out. Lines are received in one
// goroutine and acks sent in another, which is there only while there are some, so that a
// client that reads none slows nothing (LOG-12); this one waits for an end.
func (s *Server) streamLines(
	ctx context.Context, id auth.AgentIdentity,
	recv func() (*agentv1.LogLine, error), send func(*agentv1.LogAck) error,
) error {
	ref := logs.RefOf(id.Attempt())
	var writer logs.LineWriter
	var err error
	fault := s.aside(ctx, func() {
		if err = s.admit(ctx, id); err == nil {
			writer, err = s.openLog(ctx, ref)
		}
	})
	if err = cmp.Or(fault, err); err != nil {
		return err
	}
	// A panic further in passes through here as well.
	closeOnce := sync.OnceValue(writer.Close)
	defer func() { _ = closeOnce() }()
	ended := make(chan error, 1)
	var sent atomic.Bool
	go s.guardedGo(ctx, ended, func() error { return s.takeLines(ctx, ref, writer, recv, &sent) })

	acks := acking{send: send, writer: writer, done: make(chan error, 1)}
	cause := s.awaitEnd(ctx, id, &acks, ended, &sent)
	failed := closeOnce()
	if failed == nil && cause == nil {
		return s.sendLast(ctx, &acks, finalAcksWithin)
	}
	// The call ends with an error anyway: what the client still learns is a bonus.
	_ = s.sendLast(ctx, &acks, lastAcksWithin)
	return closeFailed(failed, cause)
}

// aside does work in a goroutine of its own and waits for it: the stack that it takes is not
// kept for as long as the stream is open. It returns what a panic in it ends the call with.
func (s *Server) aside(ctx context.Context, work func()) error {
	done := make(chan error, 1)
	go s.guardedGo(ctx, done, func() error {
		work()
		return nil
	})
	return <-done
}

// guardedGo sends what work returns; a panic in it is logged and sent as an error,
// since a goroutine's panic would end the process (ERR-2).
func (s *Server) guardedGo(ctx context.Context, result chan<- error, work func() error) {
	defer func() {
		if p := recover(); p != nil {
			result <- s.guard.Panicked(ctx, interceptor.CallFrom(ctx), p)
		}
	}()
	result <- work()
}

// takeLines receives until the client ends, and returns why: nil when it half-closed.
func (s *Server) takeLines(ctx context.Context, ref logs.Ref, writer logs.LineWriter, recv func() (*agentv1.LogLine, error), sent *atomic.Bool) error {
	for {
		message, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line := s.lineOf(message)
		if err := writer.Append(ctx, line); err != nil {
			return err
		}
		sent.Store(true)
		s.publish(ctx, ref, line.Event)
	}
}

// awaitEnd returns why the call ends: the client's end, a newer call of the attempt
// (LOG-13), the server's shutdown (LOG-10), or the end of the attempt's grace (LOG-9). Until
// then it has acks sent.
func (s *Server) awaitEnd(ctx context.Context, id auth.AgentIdentity, acks *acking, ended <-chan error, sent *atomic.Bool) error {
	readmit := time.NewTicker(s.readmit)
	defer readmit.Stop()
	looked := time.Now()
	var look chan error // of the look that is under way: the store may take its time, and acks may not
	for {
		select {
		case err := <-ended:
			return err
		case <-acks.writer.Superseded():
			return domain.ErrAborted
		case <-s.drain:
			return errShuttingDown
		case <-acks.ready():
			s.sendAside(ctx, acks)
		case err := <-acks.done:
			acks.sending, acks.failed = false, err
		case <-readmit.C:
			if look != nil || !sent.Swap(false) && time.Since(looked) < readmitQuietEvery {
				continue
			}
			looked, look = time.Now(), make(chan error, 1)
			go s.guardedGo(ctx, look, func() error { return s.admit(ctx, id) })
		case err := <-look:
			// Only a definitive word ends a stream: a store that fails says nothing.
			if look = nil; err != nil {
				return err
			}
		}
	}
}

// acking is the sending of a call's acks: as they come, the latest of each stream, and all
// once more at the end (LOG-5). Nothing is sent any more once that has failed.
type acking struct {
	send    func(*agentv1.LogAck) error
	writer  logs.LineWriter
	sending bool       // a goroutine is at it,
	done    chan error // and tells here that it is done
	failed  error
}

// ready tells of acks that nobody sends.
func (a *acking) ready() <-chan struct{} {
	if a.sending || a.failed != nil {
		return nil
	}
	return a.writer.Ready()
}

func (s *Server) sendAside(ctx context.Context, a *acking) {
	a.sending = true
	go s.guardedGo(ctx, a.done, func() error { return sendAcks(a.send, a.writer.Acks()) })
}

// sendLast sends what there is after the writer was closed, and waits for it within bounds.
func (s *Server) sendLast(ctx context.Context, a *acking, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for last := false; a.failed == nil; {
		if !a.sending {
			if last {
				return nil
			}
			last = true
			s.sendAside(ctx, a)
		}
		select {
		case a.failed = <-a.done:
			a.sending = false
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			// The lines are durable; the client merely did not want to know.
			return nil
		}
	}
	return a.failed
}
