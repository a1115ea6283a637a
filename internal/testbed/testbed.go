// Package testbed is a control plane of ours put on a bench: beside the services it
// serves FixtureService, by which the conformance suite prepares what it needs and looks
// behind the wire. No server for use has this code in it.
//
// It may import everything of ours but the agent, the pipeline and the commands.
package testbed

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

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
	// TLS is the server's; nil: it speaks plaintext, and delivers no secrets.
	TLS *tls.Config
	// Logger takes the server's log; nil: slog.Default().
	Logger *slog.Logger
}

// Bed is a server on the bench. [New] makes one, and [Bed.Serve] runs it, once.
type Bed struct {
	conformancev1.UnimplementedFixtureServiceServer

	server   *server.Server
	listener net.Listener
	grpc     *grpc.Server
	keys     []signingKey
	ahead    atomic.Int64 // of the clock, in nanoseconds

	ids     ids
	dataDir string
	hold    hold
}

// signingKey is one of the server's, as its key file has it.
type signingKey struct {
	ID     string `json:"id"`
	Secret []byte `json:"secret"`
}

// New opens the server and both listeners. An address that others reach is refused.
func New(ctx context.Context, cfg Config) (_ *Bed, err error) {
	for name, addr := range map[string]*string{"address": &cfg.Addr, "address for fixtures": &cfg.FixturesAddr} {
		if *addr == "" {
			*addr = "127.0.0.1:0"
		}
		if err := loopback(name, *addr); err != nil {
			return nil, err
		}
	}
	b := &Bed{dataDir: cfg.DataDir}
	var lc net.ListenConfig
	if b.listener, err = lc.Listen(ctx, "tcp", cfg.FixturesAddr); err != nil {
		return nil, fmt.Errorf("listen for fixtures on %s: %w", cfg.FixturesAddr, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.listener.Close())
		}
	}()
	b.server, err = server.New(ctx, server.Config{
		Addr: cfg.Addr, DataDir: cfg.DataDir, TLS: cfg.TLS, Logger: cfg.Logger,
		NewID: b.ids.next,
		Clock: func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) },
	})
	if err != nil {
		return nil, err
	}
	if b.keys, err = readKeys(filepath.Join(cfg.DataDir, server.KeyFile)); err != nil {
		return nil, err
	}
	b.grpc = grpc.NewServer()
	conformancev1.RegisterFixtureServiceServer(b.grpc, b)
	return b, nil
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

func readKeys(path string) ([]signingKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Keys []signingKey `json:"keys"`
	}
	if json.Unmarshal(data, &file) != nil || len(file.Keys) == 0 {
		return nil, fmt.Errorf("key file %s has no key", path)
	}
	return file.Keys, nil
}

// Addr is where the server listens.
func (b *Bed) Addr() string { return b.server.Addr() }

// FixturesAddr is where FixtureService listens.
func (b *Bed) FixturesAddr() string { return b.listener.Addr().String() }

// Serve serves both until ctx ends.
func (b *Bed) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var fixtures sync.WaitGroup
	var failed error
	fixtures.Go(func() {
		defer cancel()
		failed = b.grpc.Serve(b.listener)
	})
	var held error
	fixtures.Go(func() {
		<-ctx.Done()
		b.grpc.Stop()
		held = b.hold.release() // whoever made a fault cannot end it any more, and the server must end
	})
	err := b.server.Serve(ctx)
	cancel()
	fixtures.Wait()
	return errors.Join(err, failed, held)
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
