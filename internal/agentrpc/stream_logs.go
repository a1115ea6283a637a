package agentrpc

import (
	"context"
	"errors"
	"fmt"
	"time"

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
			c := &logCall{Server: s, id: call.Agent, recv: s.checked(call, receiver(stream)), send: stream.Send}
			return c.run(ctx)
		})
}

// checked is recv with errors of the transport's, and of what it validates.
func (s *Server) checked(call *interceptor.Call, recv func() (*agentv1.LogLine, error)) func() (*agentv1.LogLine, error) {
	return func() (*agentv1.LogLine, error) {
		line, err := recv()
		if err != nil {
			return nil, rpcstatus.Transport(err)
		}
		return line, s.guard.Validate(call, line)
	}
}

// receiver returns what receives the lines of a stream, each good until the next: gRPC's own
// stream takes the message to fill, and nothing keeps one.
func receiver(stream logStream) func() (*agentv1.LogLine, error) {
	own, ok := stream.(*grpc.GenericServerStream[agentv1.LogLine, agentv1.LogAck])
	if !ok {
		return stream.Recv
	}
	line := new(agentv1.LogLine)
	return func() (*agentv1.LogLine, error) {
		// The message is reset first.
		if err := own.RecvMsg(line); err != nil {
			return nil, err
		}
		return line, nil
	}
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
// nothing: the token admits to no log but the caller's own. bounded is what the store has of
// the call's ctx. turn is a right to ask, and is given back; false: it did not come.
func (s *Server) admit(ctx, bounded context.Context, id *auth.AgentIdentity, turn bool) error {
	if turn {
		defer func() { <-s.admitting }()
	}
	if s.admitter == nil {
		return nil
	}
	until, err := time.Time{}, bounded.Err()
	if turn {
		until, err = s.admitter.MayLog(bounded, *id)
	}
	switch {
	case errors.Is(err, domain.ErrNotLive):
		return err
	case err != nil && (ctx.Err() != nil || errors.Is(bounded.Err(), context.Canceled)):
		return nil // the call has ended, and needs no answer any more
	case err != nil:
		s.guard.Log().WarnContext(ctx, "end of logging not looked up", "task_id", id.TaskID, "cause", err.Error())
		return nil
	case !until.IsZero() && s.now().After(until):
		return domain.ErrFinished
	default:
		return nil
	}
}

// awaitTurn waits for a right to ask the admitter; false: the call, or the time, ended before.
func (s *Server) awaitTurn(ctx, bounded context.Context) bool {
	select {
	case s.admitting <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	case <-bounded.Done():
		return false
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
