package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// wire is a way to PostgreSQL that knows what it carries, to be cut between a commit and
// its answer, or to fall silent.
type wire struct {
	t        *testing.T
	listener net.Listener
	network  string // of the database
	addr     string

	mu     sync.Mutex
	conns  []net.Conn
	silent []net.Conn
	cuts   int    // how often it is still to be cut
	onCut  func() // comes while the connection that is cut is still open
	cut    int    // how often it was
	ended  bool
}

// wireTo opens a way to the database at a place, and returns the place at its end.
func wireTo(t *testing.T, place Config) (*wire, Config) {
	t.Helper()
	return wireAt(t, "tcp", "127.0.0.1:0", place)
}

// wireAt is wireTo whose end is at an address of a network.
func wireAt(t *testing.T, network, addr string, place Config) (*wire, Config) {
	t.Helper()
	cfg, err := pgconn.ParseConfig(place.DSN)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t}
	w.network, w.addr = pgconn.NetworkAddress(cfg.Host, cfg.Port)
	if w.listener, err = net.Listen(network, addr); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := w.listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { w.carry(client) })
		}
	})
	t.Cleanup(func() {
		_ = w.listener.Close()
		w.end()
		serving.Wait()
	})
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: w.listener.Addr().String(), Path: "/" + cfg.Database, RawQuery: "sslmode=disable"}
	return w, Config{DSN: u.String()}
}

func (w *wire) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, conn := range append(w.conns, w.silent...) {
		_ = conn.Close()
	}
}

// cutAfterCommit has the connection of each of the next n commits be reset once the
// database has made it, and before it can say so.
func (w *wire) cutAfterCommit(n int, onCut func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts, w.onCut, w.cut = n, onCut, 0
}

// wantCut holds that it was cut so often.
func (w *wire) wantCut(n int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut != n {
		w.t.Errorf("the wire was cut %d times, want %d", w.cut, n)
	}
}

// silence has every connection that there is carry nothing any more, as when the machine
// at its other end has gone. New ones are well.
func (w *wire) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = append(w.silent, w.conns...)
	w.conns = nil
}

func (w *wire) fell(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.silent {
		if s == conn {
			return true
		}
	}
	return false
}

func (w *wire) carry(client net.Conn) {
	server, err := net.Dial(w.network, w.addr)
	if err != nil {
		_ = client.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, client, server)
	ended := w.ended
	w.mu.Unlock()
	if ended {
		w.end()
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(&muted{w, server}, client)
		w.hangUp(client, server)
	})
	both.Go(func() {
		w.answers(client, server)
		w.hangUp(client, server)
	})
	both.Wait()
}

// hangUp closes a connection, unless it fell silent: nobody is told then.
func (w *wire) hangUp(client, server net.Conn) {
	if !w.fell(client) {
		_ = errors.Join(client.Close(), server.Close())
	}
}

// muted swallows what is written to a connection that fell silent.
type muted struct {
	w *wire
	net.Conn
}

func (m *muted) Write(p []byte) (int, error) {
	if m.w.fell(m.Conn) {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// readyForQuery ends the database's answer; its byte tells of the transaction.
const (
	readyForQuery   = 'Z'
	rowDescription  = 'T'
	commandComplete = 'C'
	noTransaction   = 'I' // no transaction is open
)

// answers carries what the database says, an answer at a time.
func (w *wire) answers(client, server net.Conn) {
	var answer bytes.Buffer
	begun, wrote := false, false
	tells := false // other servers of changes: that comes whenever it likes, and is no write
	for {
		header := make([]byte, 5)
		if _, err := io.ReadFull(server, header); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		answer.Write(header)
		answer.Write(body)
		tells = tells || header[0] == rowDescription && bytes.Contains(body, []byte("pg_notify\x00"))
		wrote = wrote || header[0] == commandComplete && changes(body) && !tells
		ready := header[0] == readyForQuery
		if begun && ready && body[0] == noTransaction && wrote && w.due() {
			if tcp, ok := client.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			return
		}
		if ready && body[0] == noTransaction {
			begun, wrote = true, false
		}
		if ready || !begun { // while it lets the client in, each message waits for an answer
			if w.fell(client) {
				answer.Reset()
				continue
			}
			if _, err := answer.WriteTo(client); err != nil {
				return
			}
		}
	}
}

// changes reports whether a command of that tag may have changed something.
func changes(tag []byte) bool {
	name, count, _ := strings.Cut(strings.TrimRight(string(tag), "\x00"), " ")
	switch name {
	case "COMMIT":
		return true
	case "INSERT", "UPDATE", "DELETE", "SELECT":
		return !strings.HasSuffix(" "+count, " 0")
	}
	return false
}

// due reports whether the wire is to be cut now.
func (w *wire) due() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cuts == 0 {
		return false
	}
	w.cuts--
	w.cut++
	if w.onCut != nil {
		w.onCut()
	}
	return true
}
