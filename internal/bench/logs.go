package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// What a log of the load is made of: lines of this size, of which so many may be on
// their way without having been acknowledged.
const (
	lineBytes = 120
	inFlight  = 4096
)

// timedOf is of how many lines one is timed. A stream has so many at least.
const timedOf = 100

var line = strings.Repeat("l", lineBytes)

// logs sends lines over a stream for each worker, and counts those that were
// acknowledged. The percentiles are of the time from a line to the acknowledgement that
// covers it, of one line in [timedOf].
func (l Load) logs(ctx context.Context) (Result, error) {
	took := make([][]time.Duration, l.Workers)
	errs := make([]error, l.Workers)
	lines := make([]int, l.Workers)
	var work sync.WaitGroup
	began := time.Now()
	for w := range l.Workers {
		work.Go(func() {
			s := stream{client: agentv1.NewAgentServiceClient(l.Conns[w%len(l.Conns)]), sent: map[int64]time.Time{}}
			errs[w] = s.run(ctx, l.Attempts[w], began.Add(l.For))
			took[w], lines[w] = s.took, int(s.acked)
		})
	}
	work.Wait()
	out := Result{Op: Logs, Took: time.Since(began)}
	out.sum(took)
	out.Calls = 0
	for _, n := range lines {
		out.Calls += n
	}
	return out, errors.Join(errs...)
}

// stream is one worker's.
type stream struct {
	client agentv1.AgentServiceClient
	acked  int64
	took   []time.Duration

	mu   sync.Mutex
	sent map[int64]time.Time
}

func (s *stream) run(ctx context.Context, a Attempt, until time.Time) error {
	call, err := s.client.StreamLogs(a.ctx)
	if err != nil {
		return err
	}
	window := make(chan struct{}, inFlight)
	received := make(chan error, 1)
	go func() { received <- s.acks(call, window) }()
	number, session := int64(0), rand.Uint64() //nolint:gosec // tells this stream from the attempt's last one
	for ctx.Err() == nil && (number < timedOf || time.Now().Before(until)) {
		select {
		case window <- struct{}{}:
		case err := <-received:
			return fmt.Errorf("logs: the stream ended: %w", err)
		}
		number++
		if number%timedOf == 0 {
			s.mu.Lock()
			s.sent[number] = time.Now()
			s.mu.Unlock()
		}
		err := call.Send(&agentv1.LogLine{
			Stream: "stdout", LineNumber: number, Message: line, Time: timestamppb.Now(), Level: agentv1.LogLevel_LOG_LEVEL_INFO, Session: session,
		})
		if err != nil {
			return fmt.Errorf("logs: %w", errors.Join(err, <-received))
		}
	}
	if err := call.CloseSend(); err != nil {
		return err
	}
	if err := <-received; !errors.Is(err, io.EOF) {
		return fmt.Errorf("logs: %w", err)
	}
	if s.acked != number {
		return fmt.Errorf("logs: %d lines were sent, and %d acknowledged", number, s.acked)
	}
	return nil
}

// acks takes acknowledgements until the call ends.
func (s *stream) acks(call agentv1.AgentService_StreamLogsClient, window <-chan struct{}) error {
	for {
		ack, err := call.Recv()
		if err != nil {
			return err
		}
		s.mu.Lock()
		for n := s.acked + 1; n <= ack.GetAcknowledgedThroughLine(); n++ {
			<-window
			if at, timed := s.sent[n]; timed {
				s.took = append(s.took, time.Since(at))
				delete(s.sent, n)
			}
		}
		s.acked = max(s.acked, ack.GetAcknowledgedThroughLine())
		s.mu.Unlock()
	}
}
