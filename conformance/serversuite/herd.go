package serversuite

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// herd is attempts that beat, until they are told to be quiet.
type herd struct {
	w       *world
	window  time.Duration // of silence
	members []*member
}

// member is one of a herd.
type member struct {
	*attempt
	mu    sync.Mutex // held while it beats
	quiet bool
	told  *agentv1.HeartbeatResponse // to terminate; nil: it was not
	begun time.Time                  // of its last beat that was answered
	gap   time.Duration              // the longest that it may have seemed silent, when it should beat
}

// newHerd launches at least n attempts, each of which beats from its launch on.
func (w *world) newHerd(n int, window time.Duration) *herd {
	h := &herd{w: w, window: window}
	ctx, cancel := context.WithCancel(w.t.Context())
	var beating sync.WaitGroup
	w.t.Cleanup(func() {
		cancel()
		beating.Wait()
	})
	for of := w; len(h.members) < n; of = newWorld(w.t, w.target) {
		for _, task := range []string{source, absent, strict, worker} { // stranger is the check's own
			m := &member{begun: time.Now()}
			m.attempt = of.launch(task, running)
			h.members = append(h.members, m)
			beating.Go(func() { m.live(ctx, window/8) })
		}
	}
	w.t.Note("%d attempts beat each %v", len(h.members), window/8)
	return h
}

// live beats until ctx ends. Beats that fail are no matter: no server may lose anybody by
// them (BEAT-2, BEAT-5).
func (m *member) live(ctx context.Context, every time.Duration) {
	again := time.NewTicker(every)
	defer again.Stop()
	ctx = metadata.NewOutgoingContext(ctx, m.as().md)
	client := agentv1.NewAgentServiceClient(m.w.target.Conn)
	for ctx.Err() == nil {
		m.turn(func() (*agentv1.HeartbeatResponse, error) {
			return client.Heartbeat(ctx, &agentv1.HeartbeatRequest{}, grpc.WaitForReady(true))
		})
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// turn beats unless the member is to be quiet.
func (m *member) turn(beat func() (*agentv1.HeartbeatResponse, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.quiet {
		return
	}
	begun := time.Now()
	got, err := beat()
	switch {
	case err != nil:
	case got.GetShouldTerminate():
		m.told = got
	default:
		m.gap, m.begun = max(m.gap, time.Since(m.begun)), begun
	}
}

// beat has the first n beat, and no others. When it returns, nobody else beats.
func (h *herd) beat(n int) {
	for i, m := range h.members {
		m.mu.Lock()
		if m.quiet && i < n {
			m.begun = time.Now() // it was quiet on purpose
		}
		m.quiet = i >= n
		m.mu.Unlock()
	}
}

// wantAllLive fails the check if any of the herd has ended, whether it beat or not.
func (h *herd) wantAllLive(while string) {
	for _, m := range h.members {
		m.wantState(running, while)
	}
}

// wantLive fails the check if any of those that beat has ended.
func (h *herd) wantLive(while string) {
	for _, m := range h.members {
		m.mu.Lock()
		told, gap, quiet := m.told, max(m.gap, time.Since(m.begun)), m.quiet
		m.mu.Unlock()
		state := m.stored().GetState()
		switch {
		case quiet, told == nil && state == running:
		case gap >= h.window: // the suite itself did not come to its turn
			h.w.t.Untestable("the machine is too slow: an attempt that should beat each " + (h.window / 8).String() + " did not for " + gap.String())
		default:
			h.w.t.Fatalf("%s: an attempt that beats, at the longest %v apart, is %s, and was told {%v}", while, gap, state, told)
		}
	}
}
