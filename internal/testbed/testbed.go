// Package testbed is a control plane of ours put on a bench: beside the services it
// serves FixtureService, by which the conformance suite prepares what it needs and looks
// behind the wire. No server for use has this code in it.
//
// It may import everything of ours but the agent, the pipeline and the commands.
package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

// Config says what to put on the bench.
type Config struct {
	// Addr and FixturesAddr are where the server and FixtureService listen: addresses
	// that only this machine reaches; empty: any free port of 127.0.0.1.
	Addr, FixturesAddr string
	// DataDir is the server's; required.
	DataDir string
	// Database is the URL of a PostgreSQL database of the server's own; empty: SQLite.
	Database string
	// TLS is the server's; nil: it speaks plaintext, and delivers no secrets.
	TLS *tls.Config
	// Logger takes the server's log; nil: slog.Default().
	Logger *slog.Logger
	// Stderr takes what the process of a [Supervisor] says; nil: os.Stderr.
	Stderr io.Writer
}

// Bed is a server on the bench. [New] makes one, and [Bed.Serve] runs it, once.
type Bed struct {
	conformancev1.UnimplementedFixtureServiceServer

	cfg      Config
	listener net.Listener
	grpc     *grpc.Server
	keys     []signingKey
	ids      ids
	database harmed
	failed   chan error // the first of what ended it

	ahead     atomic.Int64 // of the clock, in nanoseconds
	panicking atomic.Bool
	followers followers

	change sync.Mutex // held by whoever changes what is set
	set    settings

	running sync.RWMutex // held for reading by who uses the server, else by who restarts it
	server  *server.Server
	run     *run
}

// New opens the server and both listeners. An address that others reach is refused.
func New(ctx context.Context, cfg Config) (*Bed, error) { return newBed(ctx, cfg, settings{}, false) }

// newBed is New with what was set before; again: on the address of a server that has
// ended.
func newBed(ctx context.Context, cfg Config, set settings, again bool) (_ *Bed, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	b := &Bed{cfg: cfg, database: databaseOf(cfg), set: set.copy(), failed: make(chan error, 1)}
	b.ahead.Store(int64(set.Ahead))
	b.panicking.Store(set.Faults[panics])
	if b.listener, err = listen(ctx, cfg.FixturesAddr); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.listener.Close())
		}
	}()
	if b.keys, err = openKeys(cfg.DataDir); err != nil {
		return nil, err
	}
	if err := b.open(ctx, again); err != nil {
		return nil, err
	}
	b.grpc = grpc.NewServer(grpc.UnaryInterceptor(b.whileItRuns), grpc.WaitForHandlers(true))
	conformancev1.RegisterFixtureServiceServer(b.grpc, b)
	return b, nil
}

// check fills in the addresses, and refuses those that other machines reach.
func (c *Config) check() error {
	for name, addr := range map[string]*string{"address": &c.Addr, "address for fixtures": &c.FixturesAddr} {
		if *addr == "" {
			*addr = "127.0.0.1:0"
		}
		if err := loopback(name, *addr); err != nil {
			return err
		}
	}
	return nil
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for fixtures on %s: %w", addr, err)
	}
	return l, nil
}

// loopback refuses an address that other machines reach.
func loopback(name, addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s %q: %w; write it as host:port, such as 127.0.0.1:7400", name, addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s %q: whoever reaches a testbed can do anything; listen on 127.0.0.1", name, addr)
	}
	return nil
}

// Addr is where the server listens.
func (b *Bed) Addr() string { return b.cfg.Addr }

// FixturesAddr is where FixtureService listens.
func (b *Bed) FixturesAddr() string { return b.listener.Addr().String() }

// Serve serves both until ctx ends.
func (b *Bed) Serve(ctx context.Context) error {
	b.launch()
	served := make(chan error, 1)
	go func() { served <- serveFixtures(b.grpc, b.listener) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-b.failed:
	case err = <-served:
		served <- nil
	}
	b.followers.end()
	healed := b.database.release() // whoever made a fault cannot end it any more, and the server must end
	b.grpc.Stop()                  // waits for who changes what is set
	b.followers.end()
	b.followers.gone.Wait()
	return errors.Join(err, <-served, healed, b.heal(context.WithoutCancel(ctx)), b.run.end())
}

// serveFixtures serves until the server is stopped, even if that was before.
func serveFixtures(s *grpc.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// ids makes the ids of task instances: those that a run is prepared with, else random.
type ids struct {
	making sync.Mutex // held while a run is prepared
	mu     sync.Mutex
	given  []string
	at     int
}

// give has the next ids be these, over and over, until it is called with none.
func (i *ids) give(given []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.given, i.at = given, 0
}

func (i *ids) next() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.given) == 0 {
		return randomID()
	}
	id := i.given[i.at%len(i.given)]
	i.at++
	return id
}
