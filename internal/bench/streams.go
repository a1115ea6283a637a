package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// Streams are open log streams, a call for each attempt.
type Streams struct {
	calls []agentv1.AgentService_StreamLogsClient
	end   context.CancelFunc
}

// OpenStreams opens a log stream for each attempt, over the connections in turn.
func OpenStreams(ctx context.Context, conns []*grpc.ClientConn, attempts []Attempt) (*Streams, error) {
	ctx, end := context.WithCancel(ctx)
	s := &Streams{end: end}
	for i, a := range attempts {
		call, err := agentv1.NewAgentServiceClient(conns[i%len(conns)]).StreamLogs(a.within(ctx))
		if err != nil {
			end()
			return nil, fmt.Errorf("open log stream %d: %w", i+1, err)
		}
		s.calls = append(s.calls, call)
	}
	return s, nil
}

// Send sends lines through the first streams, some streams at a time, and waits until the
// last line of each is acknowledged.
func (s *Streams) Send(streams, lines int) error {
	const atOnce = 64
	errs := make([]error, streams)
	turns := make(chan struct{}, atOnce)
	var work sync.WaitGroup
	for i, call := range s.calls[:streams] {
		turns <- struct{}{}
		work.Go(func() {
			errs[i] = sendThrough(call, int64(lines))
			<-turns
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

func sendThrough(call agentv1.AgentService_StreamLogsClient, lines int64) error {
	acked := make(chan error, 1)
	go func() {
		for {
			ack, err := call.Recv()
			if err != nil || ack.GetAcknowledgedThroughLine() == lines {
				acked <- err
				return
			}
		}
	}()
	for n := range lines {
		err := call.Send(&agentv1.LogLine{
			Stream: "stdout", LineNumber: n + 1, Message: line, Time: timestamppb.Now(), Level: agentv1.LogLevel_LOG_LEVEL_INFO,
		})
		if err != nil {
			return errors.Join(err, <-acked)
		}
	}
	return <-acked
}

// Close half-closes every stream, and waits for the good end of each.
func (s *Streams) Close() error {
	defer s.end()
	var errs []error
	for _, call := range s.calls {
		errs = append(errs, call.CloseSend())
	}
	for _, call := range s.calls {
		for {
			if _, err := call.Recv(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				errs = append(errs, err)
				break
			}
		}
	}
	return errors.Join(errs...)
}

// AfterRest is what a process holds once it has been left alone for so long.
func AfterRest(ctx context.Context, pid int, rest time.Duration) (Spent, error) {
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return SpentBy(pid)
	case <-ctx.Done():
		return Spent{}, ctx.Err()
	}
}
