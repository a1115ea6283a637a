package otherplane

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

const (
	// linesHeld are received and not yet durable, of one call; then its sender waits.
	linesHeld = 96
	// logPatience is how long lines wait for the store.
	logPatience = 40 * time.Second
	// quiet is how long nothing has come when all is taken for received that was sent.
	quiet = 150 * time.Millisecond
)

// logCall is one StreamLogs call.
type logCall struct {
	s      *service
	id     identity
	ctx    context.Context
	stream grpc.BidiStreamingServer[agentv1.LogLine, agentv1.LogAck]

	queue      chan *agentv1.LogLine // closed when nothing more comes
	receiveErr error                 // why; read after the close
	over       chan struct{}         // closed when the handler no longer takes lines
	overtaken  chan struct{}         // closed by a newer call of the attempt
	durable    chan struct{}         // closed when all that was received is durable, or never will be

	batch []*agentv1.LogLine
	seen  memory
	acks  *acks
}

// StreamLogs takes the lines of an attempt.
func (s *service) StreamLogs(stream grpc.BidiStreamingServer[agentv1.LogLine, agentv1.LogAck]) error {
	c := &logCall{
		s: s, id: caller(stream.Context()).id, ctx: stream.Context(), stream: stream,
		queue: make(chan *agentv1.LogLine, linesHeld), over: make(chan struct{}),
		overtaken: make(chan struct{}), durable: make(chan struct{}), seen: memory{}, acks: newAcks(stream, s),
	}
	defer close(c.over)
	if err := c.commit(); err != nil { // nothing: whether it may log at all
		close(c.durable)
		return err
	}
	c.takeOver()
	defer c.leave()
	go c.receive()
	go c.acks.send()
	defer c.acks.stop()
	err := c.run()
	return err
}

// takeOver ends the older call of the attempt, and waits until its lines are durable.
func (c *logCall) takeOver() {
	c.s.mu.Lock()
	older := c.s.calls[c.id]
	c.s.calls[c.id] = c
	c.s.mu.Unlock()
	if older == nil {
		return
	}
	close(older.overtaken)
	select {
	case <-older.durable:
	case <-c.ctx.Done():
	}
}

func (c *logCall) leave() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.calls[c.id] == c {
		delete(c.s.calls, c.id)
	}
}

// receive takes lines from the wire. A full queue has the sender wait.
func (c *logCall) receive() {
	defer close(c.queue)
	for {
		line, err := c.stream.Recv()
		if err != nil {
			c.receiveErr = err
			return
		}
		select {
		case c.queue <- line:
		case <-c.over:
			return
		}
	}
}

// run makes lines durable, a batch at a time, until something ends the call.
func (c *logCall) run() error {
	defer close(c.durable)
	tick := time.NewTicker(c.s.plane.choices.CommitEvery)
	defer tick.Stop()
	for {
		select {
		case line, more := <-c.queue:
			if !more {
				return c.finish()
			}
			if c.batch = append(c.batch, line); len(c.batch) < linesHeld/2 {
				continue
			}
		case <-tick.C:
		case <-c.overtaken:
			c.drain()
			if err := c.commit(); err != nil {
				return err
			}
			return refuse(codes.Aborted, "overtaken", "Another stream of %q (%s) goes on.", c.id.task, c.id.instance)
		case <-c.s.ending:
			c.drain()
			err := c.commit()
			c.callEnded()
			c.acks.flush()
			if err != nil {
				return err
			}
			return refuse(codes.Unavailable, "closing", "This plane is about to end. Come again.")
		}
		if err := c.commit(); err != nil {
			return err
		}
	}
}

// finish is the end of a call that the client ended.
func (c *logCall) finish() error {
	err := c.commit()
	c.callEnded()
	switch {
	case err != nil:
		return err
	case !errors.Is(c.receiveErr, io.EOF):
		return c.receiveErr
	}
	c.acks.all()
	c.acks.flush()
	return nil
}

// drain takes in what has been received, and what comes without a pause.
func (c *logCall) drain() {
	pause := time.NewTimer(quiet)
	defer pause.Stop()
	for len(c.batch) < 100*linesHeld {
		select {
		case line, more := <-c.queue:
			if !more {
				return
			}
			c.batch = append(c.batch, line)
			pause.Reset(quiet)
		case <-pause.C:
			return
		}
	}
}

// commit makes the batch durable and has it acknowledged, if the attempt may still log.
func (c *logCall) commit() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), logPatience)
	defer cancel()
	through := map[string]int64{}
	err := c.s.doPatiently(ctx, func(st *store) error {
		a := st.attempt(c.id)
		if a == nil {
			return refuse(codes.PermissionDenied, "not-yours", "There is no log of %q (%s).", c.id.task, c.id.instance)
		}
		now := c.s.plane.clock.now()
		if end, isOver := a.over(); isOver && now.After(end.Add(c.s.plane.choices.LogGrace)) {
			return refuse(codes.FailedPrecondition, "closed", "The log of %q (%s) is closed.", c.id.task, c.id.instance)
		}
		if c.s.plane.choices.OwnLines && len(c.batch) > 0 && len(a.log.entries) == 0 {
			a.log.add(&agentv1.LogLine{Stream: "plane", Message: "Here begins the log of " + c.id.task + "."}, c.seen, now, false)
		}
		for _, line := range c.batch {
			a.log.add(line, c.seen, now, c.s.plane.choices.Resume)
			through[streamOf(line)] = a.log.through(streamOf(line))
		}
		if len(c.batch) > 0 {
			close(st.logged)
			st.logged = make(chan struct{})
		}
		return nil
	})
	c.batch = nil
	c.acks.add(through)
	return err
}

// callEnded has the gaps show that nothing fills any more.
func (c *logCall) callEnded() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), logPatience)
	defer cancel()
	_ = c.s.doPatiently(ctx, func(st *store) error { // who is not told of the end has no gaps to show
		if a := st.attempt(c.id); a != nil {
			a.log.callEnded()
		}
		return nil
	})
}
