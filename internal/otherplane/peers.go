package otherplane

import (
	"net"
	"sync"
)

// peersMax is how many may be connected at once.
const peersMax = 200

// crowd is a listener that lets in so many at once.
type crowd struct {
	net.Listener
	room chan struct{}
}

func bounded(l net.Listener) net.Listener { return &crowd{l, make(chan struct{}, peersMax)} }

// Accept refuses at once whom there is no room for.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case c.room <- struct{}{}:
			return &guest{Conn: conn, leave: sync.OnceFunc(func() { <-c.room })}, nil
		default:
			_ = conn.Close()
		}
	}
}

type guest struct {
	net.Conn
	leave func()
}

// Close makes room.
func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
