package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// errEndedEarly says that the server ended a log stream that was not half-closed.
var errEndedEarly = status.Error(codes.Unknown, "the control plane ended the log stream early")

// errMoved says that grpc has begun a log stream again, on which nothing can be sent.
var errMoved = status.Error(codes.Unavailable, "the log stream broke before it began")

// shipper sends a backlog over StreamLogs, and opens the stream again when it
// breaks. Whatever becomes of it, it never fails the task (A-LOG-3).
type shipper struct {
	*backlog
	client agentv1.AgentServiceClient
	token  *bearer
	pace   *pace
	log    *slog.Logger

	cancel context.CancelFunc
	opened chan struct{} // closed once the first stream is open, or could not be opened
	done   chan struct{}
	err    error // how it ended; valid once done is closed
}

func (a *attempt) newShipper(session uint64) *shipper {
	return &shipper{
		backlog: newBacklog(session, a.pace.stall),
		client:  a.client, token: a.token, pace: a.pace, log: a.log,
		opened: make(chan struct{}), done: make(chan struct{}),
	}
}

// start opens the first stream and returns when that is tried.
func (s *shipper) start(ctx context.Context) {
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(s.done)
		s.err = s.run(ctx)
		s.abandon()
	}()
	<-s.opened
}

// finish half-closes the stream after the last line, and waits until the server
// ended it or ctx is done. It returns how many lines were never sent, and why.
func (s *shipper) finish(ctx context.Context) (lost int, err error) {
	s.end()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.cancel()
		<-s.done
	}
	s.cancel()
	return s.losses(), s.err
}

func (s *shipper) run(ctx context.Context) error {
	opened := func() { close(s.opened) }
	waits, failures := growing(s.pace), 0
	for {
		began, token := time.Now(), s.token.token.Load()
		acked, err := s.ship(ctx, opened)
		opened = func() {}
		if err == nil || ctx.Err() != nil {
			return err
		}
		if acked || time.Since(began) >= s.pace.steady {
			waits, failures = growing(s.pace), 0
		}
		renewed := s.token.token.Load() != token
		if failures++; !s.again(err, failures, renewed) {
			s.log.Warn("log lines are no longer sent", "error", told(err))
			return err
		}
		if failures == 1 {
			s.log.Warn("the log stream broke and is opened again", "error", told(err))
		}
		wait, _ := waits.Next()
		if !pause(ctx, max(wait, min(retryDelay(status.Convert(err)), s.pace.stall))) {
			return err
		}
	}
}

// again reports whether another stream may do better than the one that ended with err.
func (s *shipper) again(err error, failures int, renewed bool) bool {
	switch status.Code(err) {
	case codes.Unavailable:
		return true
	case codes.Unauthenticated, codes.PermissionDenied:
		return renewed
	case codes.Unimplemented, codes.FailedPrecondition, codes.InvalidArgument,
		codes.NotFound, codes.Aborted: // aborted: a newer process of this attempt took over (LOG-13)
		return false
	case codes.ResourceExhausted:
		if retryDelay(status.Convert(err)) > 0 { // for its rate, so for now (LIMIT-2)
			return true
		}
	}
	return failures < s.pace.logTries
}

// ship sends the backlog over one stream until that breaks, or the log has ended and
// the server ended the stream after it. It reports whether an ack released lines.
func (s *shipper) ship(ctx context.Context, opened func()) (acked bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := s.client.StreamLogs(ctx)
	opened()
	if err != nil {
		cancel()
		return false, err
	}
	s.rewind()
	in := s.receive(stream)
	err = s.send(stream, in)
	cancel()
	<-in.done
	return in.acked, err
}

// acks is what a stream's receiving side came to.
type acks struct {
	done  chan struct{}
	acked bool
	err   error // valid, as acked, once done is closed
}

// receive reads acks from the start, so that the backlog shrinks while lines flow.
func (s *shipper) receive(stream agentv1.AgentService_StreamLogsClient) *acks {
	in := &acks{done: make(chan struct{})}
	go func() {
		defer close(in.done)
		for {
			ack, err := stream.Recv()
			if err != nil {
				in.err = err
				return
			}
			if s.ack(ack.GetStream(), ack.GetAcknowledgedThroughLine()) {
				in.acked = true
			}
		}
	}()
	return in
}

func (s *shipper) send(stream agentv1.AgentService_StreamLogsClient, in *acks) error {
	for {
		e, changed, ended := s.next()
		switch {
		case e != nil:
			err := stream.Send(e.line)
			if errors.Is(err, io.EOF) {
				return in.status(s.pace.status)
			}
			if err != nil {
				return err
			}
			s.commit(e)
		case ended:
			if err := stream.CloseSend(); err != nil {
				return err
			}
			<-in.done
			if errors.Is(in.err, io.EOF) {
				return nil
			}
			return in.err
		default:
			select {
			case <-changed:
			case <-in.done:
				return early(in.err)
			}
		}
	}
}

// status returns why a stream takes no more lines. The receiving side has been told,
// or is at once, which is waited for within a time: but where the connection broke before the stream's first frame was
// sent, grpc begins the stream again on the next one when that side asks, and tells
// the sending side an end all the same. That stream would be quiet for ever.
func (in *acks) status(within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-in.done:
		return early(in.err)
	case <-timer.C:
	}
	select {
	case <-in.done: // it was this process that stood still
		return early(in.err)
	default:
		return errMoved
	}
}

func early(err error) error {
	if errors.Is(err, io.EOF) {
		return errEndedEarly
	}
	return err
}

// pause waits; false: ctx was done first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
