package agentsuite

import (
	"net"
	"sync"
	"time"
)

// door is where agents connect. It stays on its port while the server behind it comes
// and goes, so that nobody else gets the port; meanwhile it slams.
type door struct {
	listener net.Listener
	taken    func() // is told of each connection
	done     chan struct{}

	mu     sync.Mutex
	behind *room // nil: nobody is there
}

func newDoor(taken func()) (*door, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &door{listener: listener, taken: taken, done: make(chan struct{})}
	go d.run()
	return d, nil
}

func (d *door) run() {
	defer close(d.done)
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return // it was closed
		}
		d.taken()
		d.mu.Lock()
		behind := d.behind
		d.mu.Unlock()
		if behind == nil || !behind.take(conn) {
			slam(conn)
		}
	}
}

// slam ends a connection by a reset, as a machine does where nobody listens any more.
func slam(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// open leads connections to the listener that it returns, until that is closed.
func (d *door) open() net.Listener {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind = &room{door: d, conns: make(chan net.Conn), closed: make(chan struct{})}
	return d.behind
}

func (d *door) addr() string { return d.listener.Addr().String() }

func (d *door) close() {
	_ = d.listener.Close()
	<-d.done
}

// room is the listener behind a door.
type room struct {
	door   *door
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// takeTime bounds how long a connection waits to be accepted.
const takeTime = 5 * time.Second

func (r *room) take(conn net.Conn) bool {
	late := time.NewTimer(takeTime)
	defer late.Stop()
	select {
	case r.conns <- conn:
		return true
	case <-r.closed:
	case <-late.C:
	}
	return false
}

// Accept implements net.Listener.
func (r *room) Accept() (net.Conn, error) {
	select {
	case conn := <-r.conns:
		return conn, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (r *room) Addr() net.Addr { return r.door.listener.Addr() }

// Close implements net.Listener; the door stays where it is.
func (r *room) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}
