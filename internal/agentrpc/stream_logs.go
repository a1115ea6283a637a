package agentrpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// logStream is the server's end of a StreamLogs call.
type logStream = grpc.BidiStreamingServer[agentv1.LogLine, agentv1.LogAck]

// StreamLogs takes the lines of the caller's attempt, and of no other (LOG-9), and
// acknowledges what is durable (LOG-1). However it ends, the writer is closed.
func (s *Server) StreamLogs(stream logStream) error {
	ready := func() error {
		if s.sink == nil {
			return rpcstatus.New(codes.Unimplemented, rpcstatus.ReasonNotConfigured, "this server keeps no logs", nil)
		}
		return nil
	}
	return interceptor.Stream(stream, &s.guard, agentv1.AgentService_StreamLogs_FullMethodName, nil, ready,
		func(ctx context.Context, call *interceptor.Call) error {
			id := *call.Agent
			recv := func() (*agentv1.LogLine, error) {
				line, err := stream.Recv()
				if err != nil {
					return nil, rpcstatus.Transport(err)
				}
				return line, s.guard.Validate(call, line)
			}
			if s.lines != nil {
				return s.streamLines(ctx, id, recv, stream.Send)
			}
			return s.streamEvents(ctx, id, recv, stream.Send)
		})
}

// streamEvents serves a sink that only takes events: it acknowledges once a stream,
// after the sink closed without an error.
func (s *Server) streamEvents(
	ctx context.Context, id auth.AgentIdentity,
	recv func() (*agentv1.LogLine, error), send func(*agentv1.LogAck) error,
) (err error) {
	if err := s.admit(ctx, id); err != nil {
		return err
	}
	ref := logs.RefOf(id.Attempt())
	writer, err := s.sink.Open(ref)
	if err != nil {
		return err
	}
	open := true
	closeOnce := func() error {
		if !open {
			return nil
		}
		open = false
		return writer.Close()
	}
	// A panic further in passes through here as well.
	defer func() {
		err = closeFailed(closeOnce(), err)
	}()
	acks := newPrefixes()
	for {
		line, err := recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		taken := s.lineOf(line)
		if err := writer.WriteEvent(taken.Event); err != nil {
			return err
		}
		acks.take(taken)
		s.publish(ctx, ref, taken.Event)
	}
	if err := closeOnce(); err != nil {
		return err
	}
	return sendAcks(send, acks.list())
}

// closeFailed is the error of a call that ended with cause and whose writer closed
// with failed: lines may be lost then, and that outweighs why the call ended.
func closeFailed(failed, cause error) error {
	switch {
	case failed == nil:
		return cause
	case cause == nil:
		return failed
	default:
		return fmt.Errorf("%w (closing, since: %s)", failed, cause.Error())
	}
}

// admit refuses the log of an attempt that is unknown, or ended longer ago than the
// grace, where the store can tell (LOG-9). A store that gives no answer refuses
// nothing: the token admits to no log but the caller's own.
func (s *Server) admit(ctx context.Context, id auth.AgentIdentity) error {
	if s.admitter == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, definitiveWithin)
	defer cancel()
	until, err := s.admitter.MayLog(ctx, id)
	switch {
	case errors.Is(err, domain.ErrNotLive):
		return err
	case err != nil:
		s.logger().WarnContext(ctx, "end of logging not looked up", "task_id", id.TaskID, "cause", err.Error())
		return nil
	case !until.IsZero() && s.now().After(until):
		return domain.ErrFinished
	default:
		return nil
	}
}

func sendAcks(send func(*agentv1.LogAck) error, acks []logs.Ack) error {
	for _, ack := range acks {
		if err := send(&agentv1.LogAck{AcknowledgedThroughLine: ack.Through, Stream: ack.Stream}); err != nil {
			return rpcstatus.Transport(err)
		}
	}
	return nil
}

// maxStreamsAcked bounds what a call with ever new stream names can make us keep.
const maxStreamsAcked = 256

// prefixes follows, for a sink without numbers of its own, how far each stream of
// a call came without a hole, from its first number on (LOG-4).
type prefixes struct {
	order   []string
	through map[string]int64
}

func newPrefixes() *prefixes { return &prefixes{through: map[string]int64{}} }

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
