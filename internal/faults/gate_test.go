package faults

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// gate is where tasks arrive, say who they are, and wait until the test lets them on.
// It tells whether one lives: its end ends the connection.
type gate struct {
	t        *testing.T
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	arrivals map[string]chan *visit
	closed   bool
}

// visit is a task at the gate.
type visit struct {
	t    *testing.T
	name string
	pid  int
	conn net.Conn
}

func openGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{t: t, arrivals: map[string]chan *visit{}}
	g.listener = must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := g.listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { g.greet(conn) })
		}
	})
	t.Cleanup(func() { // tasks that nobody let on end thereby, also those without an agent
		_ = g.listener.Close()
		g.mu.Lock()
		g.closed = true
		for _, conn := range g.conns {
			_ = conn.Close()
		}
		g.mu.Unlock()
		serving.Wait()
	})
	return g
}

// address is what bash has behind /dev/tcp/.
func (g *gate) address() string {
	return strings.Replace(g.listener.Addr().String(), ":", "/", 1)
}

func (g *gate) greet(conn net.Conn) {
	g.mu.Lock()
	g.conns = append(g.conns, conn)
	if g.closed {
		_ = conn.Close()
	}
	g.mu.Unlock()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	v := &visit{t: g.t, conn: conn}
	if _, err := fmt.Sscan(line, &v.name, &v.pid); err != nil {
		return
	}
	g.at(v.name) <- v
}

func (g *gate) at(name string) chan *visit {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.arrivals[name] == nil {
		g.arrivals[name] = make(chan *visit, 8)
	}
	return g.arrivals[name]
}

// await waits for a task to arrive under a name.
func (g *gate) await(name string) *visit {
	g.t.Helper()
	return await(g.t, "arrived at the gate: "+name, g.at(name))
}

// pass lets the task on.
func (v *visit) pass() {
	v.t.Helper()
	if _, err := io.WriteString(v.conn, "on\n"); err != nil {
		v.t.Errorf("%s cannot be let on: %v", v.name, err)
	}
}

// gone waits until the task has let go of the connection: it went on, or is dead.
func (v *visit) gone() {
	v.t.Helper()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, v.conn)
	}()
	await(v.t, "gone from the gate: "+v.name, gone)
}

// alive reports whether the task's process is there.
func (v *visit) alive() bool { return syscall.Kill(v.pid, 0) == nil }

// kill kills the task's process, not its group.
func (v *visit) kill() {
	v.t.Helper()
	if err := syscall.Kill(v.pid, syscall.SIGKILL); err != nil {
		v.t.Fatal(err)
	}
}
