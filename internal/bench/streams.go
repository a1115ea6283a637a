package bench

import (
	"cmp"
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
	return failures(errs)
}

// failures are of many streams, which fail together, in one line; nil where none failed.
func failures(errs []error) error {
	var first error
	failed := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		if failed++; first == nil {
			first = err
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("%d of %d log streams failed, the first: %w", failed, len(errs), first)
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
			return cmp.Or(<-acked, err) // which tells why
		}
	}
	return <-acked
}

// Close half-closes every stream, and waits for the good end of each.
func (s *Streams) Close() error {
	defer s.end()
	errs := make([]error, len(s.calls))
	for i, call := range s.calls {
		errs[i] = call.CloseSend()
	}
	for i, call := range s.calls {
		var err error
		for err == nil {
			_, err = call.Recv()
		}
		if !errors.Is(err, io.EOF) {
			errs[i] = err
		}
	}
	return failures(errs)
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
