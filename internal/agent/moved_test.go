package agent

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"google.golang.org/grpc"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// movedStreams are streams of which the first has been begun again by grpc behind its
// sender's back: sending is at its end, and receiving waits for as long as it may.
type movedStreams struct {
	agentv1.AgentServiceClient
	opened int
	taken  []*agentv1.LogLine
}

func (m *movedStreams) StreamLogs(ctx context.Context, _ ...grpc.CallOption) (agentv1.AgentService_StreamLogsClient, error) {
	m.opened++
	return &movedStream{streams: m, ctx: ctx, moved: m.opened == 1, closed: make(chan struct{})}, nil
}

type movedStream struct {
	grpc.ClientStream
	streams *movedStreams
	ctx     context.Context //nolint:containedctx // a stream is of its context
	moved   bool
	closed  chan struct{}
}

func (s *movedStream) Send(line *agentv1.LogLine) error {
	if s.moved {
		return io.EOF
	}
	s.streams.taken = append(s.streams.taken, line)
	return nil
}

func (s *movedStream) CloseSend() error {
	close(s.closed)
	return nil
}

func (s *movedStream) Recv() (*agentv1.LogAck, error) {
	select {
	case <-s.closed:
		return nil, io.EOF
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func TestLog2AStreamThatTakesNothingAndDoesNotEndIsOpenedAgain(t *testing.T) {
	streams := &movedStreams{}
	a := &attempt{pace: &defaultPace, log: slog.New(slog.DiscardHandler), client: streams, token: newBearer("t", true)}
	s := a.newShipper(1)
	s.put(streamStdout, agentv1.LogLevel_LOG_LEVEL_INFO, "a line")
	s.start(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if lost, err := s.finish(ctx); lost != 0 || err != nil {
		t.Errorf("%d lines were lost, %v", lost, err)
	}
	if streams.opened != 2 || len(streams.taken) != 1 {
		t.Errorf("%d streams took %v", streams.opened, streams.taken)
	}
}
