package server

import (
	"container/list"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/peer"
)

// spared is how long a connection is let be even where too many others wait to be known:
// an agent needs no more than that to make its first call.
const spared = time.Second

// gate bounds the connections over which nobody has said yet who they are, in number and
// time (LIMIT-3). It is the listener that they come by; over which connection a call came
// is told by the address of its peer. A connection with one authenticated call is let be
// for ever: it may be quiet for as long as it likes.
type gate struct {
	net.Listener
	most   int
	within time.Duration
	closed *prometheus.CounterVec

	mu        sync.Mutex
	strangers *list.List    // of *guest, the oldest first
	fewer     chan struct{} // tells whoever waits that there is one less
}

// guest is a connection.
type guest struct {
	net.Conn
	gate  *gate
	addr  guestAddr
	came  time.Time
	late  *time.Timer
	place *list.Element // among the strangers; nil: no longer. Guarded by gate.mu
	known atomic.Bool
}

// guestAddr is the address of a guest, as gRPC hands it to every call of the connection. A
// handler of statistics could tell the connection as well, but has gRPC copy the metadata of
// every call.
type guestAddr struct {
	net.Addr
	guest *guest
}

// RemoteAddr implements net.Conn.
func (c *guest) RemoteAddr() net.Addr { return &c.addr }

// newGate lets so many strangers wait for so long. Its listener is yet to be set.
func newGate(most int, within time.Duration, registry prometheus.Registerer) (*gate, error) {
	g := &gate{
		most: most, within: within, strangers: list.New(), fewer: make(chan struct{}, 1),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leoflow_unauthenticated_connections_closed_total",
			Help: "Connections closed before an authenticated call was made, because they took too long (late) or others came (crowded).",
		}, []string{"cause"}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "leoflow_unauthenticated_connections",
		Help: "Open connections over which no authenticated call was made yet.",
	}, func() float64 { return float64(g.waiting()) })
	if err := registry.Register(waiting); err != nil {
		return nil, err
	}
	return g, registry.Register(g.closed)
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.strangers.Len()
}

// Accept implements net.Listener. Where there are too many strangers the next one waits
// until one of them is known or gone, or the oldest has had its second and is closed.
func (g *gate) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for {
		wait := g.makeRoom()
		if wait <= 0 {
			return g.enter(conn), nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-g.fewer:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// makeRoom returns how long the next one has to wait at most; 0: not at all.
func (g *gate) makeRoom() time.Duration {
	g.mu.Lock()
	if g.strangers.Len() < g.most {
		g.mu.Unlock()
		return 0
	}
	oldest, _ := g.strangers.Front().Value.(*guest)
	g.mu.Unlock()
	if wait := spared - time.Since(oldest.came); wait > 0 {
		return wait
	}
	oldest.dismiss("crowded")
	return 0
}

func (g *gate) enter(conn net.Conn) net.Conn {
	c := &guest{Conn: conn, gate: g, came: time.Now()}
	c.addr = guestAddr{conn.RemoteAddr(), c}
	g.mu.Lock()
	defer g.mu.Unlock()
	c.place = g.strangers.PushBack(c)
	c.late = time.AfterFunc(g.within, func() { c.dismiss("late") })
	return c
}

// leave takes a guest from among the strangers, and reports whether it was one.
func (c *guest) leave() bool {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.place == nil {
		return false
	}
	c.gate.strangers.Remove(c.place)
	c.place = nil
	c.late.Stop()
	select {
	case c.gate.fewer <- struct{}{}:
	default:
	}
	return true
}

// dismiss closes the connection unless its peer is known by now.
func (c *guest) dismiss(cause string) {
	if c.leave() {
		c.gate.closed.WithLabelValues(cause).Inc()
		_ = c.Conn.Close() // there is nobody to tell
	}
}

// Close implements net.Conn.
func (c *guest) Close() error {
	c.leave()
	return c.Conn.Close()
}

// authenticated notes that the peer of a call is known.
func (*gate) authenticated(ctx context.Context) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return
	}
	if addr, ok := p.Addr.(*guestAddr); ok && !addr.guest.known.Load() && addr.guest.known.CompareAndSwap(false, true) {
		addr.guest.leave()
	}
}
