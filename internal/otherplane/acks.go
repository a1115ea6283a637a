package otherplane

import (
	"sync"
	"time"

	"google.golang.org/grpc"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// takenWithin is how long a client has to take the last acknowledgements.
const takenWithin = 3 * time.Second

// acks sends acknowledgements beside the lines: of each stream the latest alone.
type acks struct {
	s      *service
	stream grpc.BidiStreamingServer[agentv1.LogLine, agentv1.LogAck]

	mu      sync.Mutex
	latest  map[string]int64 // of every stream of the call
	pending map[string]bool  // those that are to be sent
	idle    chan struct{}    // closed when all is sent; renewed with what is to be sent
	wake    chan struct{}
	ended   chan struct{}
}

func newAcks(stream grpc.BidiStreamingServer[agentv1.LogLine, agentv1.LogAck], s *service) *acks {
	a := &acks{
		s: s, stream: stream, latest: map[string]int64{}, pending: map[string]bool{},
		idle: make(chan struct{}), wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	close(a.idle)
	return a
}

// add has streams acknowledged.
func (a *acks) add(through map[string]int64) {
	if len(through) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for stream, n := range through {
		a.latest[stream] = n
		a.pending[stream] = true
	}
	a.wakeSender()
}

// all has every stream of the call acknowledged once more.
func (a *acks) all() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for stream := range a.latest {
		a.pending[stream] = true
	}
	if len(a.pending) > 0 {
		a.wakeSender()
	}
}

// wakeSender wants a.mu.
func (a *acks) wakeSender() {
	select {
	case <-a.idle:
		a.idle = make(chan struct{})
	default:
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// next is what to send next; nil: all is sent.
func (a *acks) next() *agentv1.LogAck {
	a.mu.Lock()
	defer a.mu.Unlock()
	for stream := range a.pending {
		delete(a.pending, stream)
		ack := &agentv1.LogAck{AcknowledgedThroughLine: a.latest[stream]}
		if a.s.plane.choices.Resume {
			ack.Stream = stream
		}
		return ack
	}
	select {
	case <-a.idle:
	default:
		close(a.idle)
	}
	return nil
}

// send sends until the call ends.
func (a *acks) send() {
	for {
		select {
		case <-a.wake:
		case <-a.ended:
			return
		}
		for ack := a.next(); ack != nil; ack = a.next() {
			a.s.fromTheFuture(ack)
			if a.stream.Send(ack) != nil {
				return
			}
		}
	}
}

// flush waits, for a while, until the client has been sent all.
func (a *acks) flush() {
	a.mu.Lock()
	idle := a.idle
	a.mu.Unlock()
	select {
	case <-idle:
	case <-a.stream.Context().Done():
	case <-time.After(takenWithin):
	}
}

func (a *acks) stop() { close(a.ended) }
