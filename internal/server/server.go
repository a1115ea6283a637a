package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/neochaotic/leoflow/internal/agentrpc"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/controlrpc"
	"github.com/neochaotic/leoflow/internal/hearsay"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/reaper"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// What a data directory holds.
const (
	KeyFile     = "keys.json"    // signs tokens
	SecretsFile = "secrets.json" // seals secrets at rest
	LogsDir     = "logs"
	HearsayDir  = "hearsay" // of servers that share it
)

// drainWithin bounds how long calls under way may take to finish on shutdown.
const drainWithin = 10 * time.Second

// Server is a control plane that listens. It is made by [New] and run by
// [Server.Serve], once.
type Server struct {
	cfg      Config
	tokens   *auth.Tokens
	keyring  *secrets.Keyring // nil: no secrets
	store    *store.Store
	logs     *logs.Dir
	values   *xcom.Service
	agents   *agentrpc.Server
	control  *controlrpc.Server
	grpc     *grpc.Server
	gate     *gate
	refusals *interceptor.Refusals
	health   *health.Server
	ready    prometheus.Gauge // 1: the store can be written
	hearsay  *hearsay.Board
	reaper   *reaper.Reaper
	registry *prometheus.Registry
	listener net.Listener
	metrics  net.Listener // nil: off
}

// Every ability that a rule needs is one that our own parts have.
var (
	_ agentrpc.Store            = (*store.Store)(nil)
	_ agentrpc.PromptStore      = (*store.Store)(nil)
	_ agentrpc.Registrar        = (*store.Store)(nil)
	_ agentrpc.TimedReporter    = (*store.Store)(nil)
	_ agentrpc.CancelReader     = (*store.Store)(nil)
	_ agentrpc.LogAdmitter      = (*store.Store)(nil)
	_ agentrpc.SecretsStore     = (*store.Store)(nil)
	_ agentrpc.SecretsDeliverer = (*store.Store)(nil)
	_ agentrpc.XComService      = (*xcom.Service)(nil)
	_ agentrpc.AttemptXCom      = (*xcom.Service)(nil)
	_ agentrpc.LogSink          = (*logs.Dir)(nil)
	_ logs.LineSink             = (*logs.Dir)(nil)
	_ reaper.Store              = (*store.Store)(nil)
	_ reaper.Hearsay            = (*hearsay.Board)(nil)
	_ agentrpc.Hearsay          = (*hearsay.Board)(nil)
	_ controlrpc.Runs           = (*store.Store)(nil)
	_ controlrpc.Values         = (*xcom.Service)(nil)
	_ controlrpc.Secrets        = (*store.Store)(nil)
	_ controlrpc.Audit          = (*store.Store)(nil)
	_ controlrpc.Tokens         = (*auth.Tokens)(nil)
)

// New opens everything that cfg names and listens; nothing is served before
// [Server.Serve]. On an error everything is closed again.
func New(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.Complete()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, registry: prometheus.NewRegistry()}
	for _, step := range []func(context.Context) error{s.openData, s.newReaper, s.assemble, s.listen} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// Addr returns the address that the server listens on, with its port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// MetricsAddr returns the address of the metrics page, with its port; empty: off.
func (s *Server) MetricsAddr() string {
	if s.metrics == nil {
		return ""
	}
	return s.metrics.Addr().String()
}

// Tokens mints and verifies tokens with the server's keys.
func (s *Server) Tokens() *auth.Tokens { return s.tokens }

// Store is the server's store, for who assembles a server of ours and looks behind it.
func (s *Server) Store() *store.Store { return s.store }

// Values are the values that tasks hand on.
func (s *Server) Values() *xcom.Service { return s.values }

// Logs reads the logs of attempts.
func (s *Server) Logs() logs.Reader { return s.logs }

// openData opens the data directory: keys, store, logs.
func (s *Server) openData(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	keys, created, err := auth.LoadOrGenerateKeys(filepath.Join(s.cfg.DataDir, KeyFile))
	if err != nil {
		return err
	}
	if created {
		s.cfg.Logger.InfoContext(ctx, "signing key generated", "file", filepath.Join(s.cfg.DataDir, KeyFile))
	}
	s.tokens = auth.NewTokens(keys, s.cfg.Clock)
	if err := s.openStore(ctx); err != nil {
		return err
	}
	s.logs, err = logs.NewDir(logs.Options{
		Root: filepath.Join(s.cfg.DataDir, LogsDir), Shared: s.cfg.Shared, Now: s.cfg.Clock, Logger: s.cfg.Logger,
	})
	return err
}

// openStore opens the store, and the keyring that its secrets are sealed with, if any.
func (s *Server) openStore(ctx context.Context) (err error) {
	cfg := store.Config{Dir: s.cfg.DataDir, DSN: s.cfg.Database, SharedDir: s.cfg.Shared, NewID: s.cfg.NewID, Clock: s.cfg.Clock, Logger: s.cfg.Logger, WritePath: s.cfg.WritePath}
	if s.cfg.ownClock {
		cfg.Clock = nil // the database's, where it has one (BEAT-5)
	}
	if s.cfg.NoSecrets {
		s.store, err = store.Await(ctx, cfg, s.cfg.DatabaseWait)
		return err
	}
	s.keyring, err = secrets.OpenKeyring(filepath.Join(s.cfg.DataDir, SecretsFile), s.cfg.Logger)
	if err != nil {
		return err
	}
	cfg.Sealer = s.keyring
	if s.store, err = store.Await(ctx, cfg, s.cfg.DatabaseWait); err != nil {
		return err
	}
	return s.keyring.Reopen() // a key may have been retired until the directory was ours
}

// newReaper makes what ends attempts that do not end by themselves (BEAT-5).
func (s *Server) newReaper(context.Context) (err error) {
	board := hearsay.Config{Window: s.cfg.SilenceWindow, Logger: s.cfg.Logger}
	if s.cfg.Shared {
		board.Dir = filepath.Join(s.cfg.DataDir, HearsayDir)
	}
	s.hearsay = hearsay.New(board)
	s.reaper, err = reaper.New(s.store, reaper.Config{
		Silence: s.cfg.SilenceWindow, Queue: s.cfg.QueueWindow, Grace: s.cfg.Grace, Hearsay: s.hearsay,
		AlarmIgnoresUnheard: s.cfg.AlarmIgnoresUnheard, Wall: s.cfg.Clock, Logger: s.cfg.Logger, Registerer: s.registry,
	})
	return err
}

// reap runs the reaper, and tells others what it goes by, until stop is called, which waits for its end, or returns an
// error where the store does not let go of it.
func (s *Server) reap() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var both sync.WaitGroup
		both.Go(func() { s.hearsay.Run(ctx) })
		s.reaper.Run(ctx)
		both.Wait()
	}()
	return func() error {
		cancel()
		if !endsInTime(ended) {
			return errors.New("the reaper does not end: the store hangs")
		}
		return nil
	}
}

// listen opens the listeners.
func (s *Server) listen(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if s.listener, err = lc.Listen(ctx, "tcp", s.cfg.Addr); err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Addr, err)
	}
	s.gate.Listener = s.listener
	if s.cfg.MetricsAddr == "" {
		return nil
	}
	if s.metrics, err = lc.Listen(ctx, "tcp", s.cfg.MetricsAddr); err != nil {
		return fmt.Errorf("listen for metrics on %s: %w", s.cfg.MetricsAddr, err)
	}
	return nil
}

// Serve serves until ctx ends or a listener fails, then drains: what was received
// of a log is durable and acknowledged, calls under way finish (LOG-10). It returns
// nil after an orderly end.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 2)
	go func() { failed <- s.grpc.Serve(s.gate) }()
	stopReaping, stopRotating := s.reap(), s.rotate()
	stopLooking := s.lookAtStore()
	page := s.serveMetrics(failed)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stuck := errors.Join(stopReaping(), stopRotating(), stopLooking()) // while the server drains, nobody can beat
	if page != nil {
		err = errors.Join(err, page.Close())
	}
	if stuck = errors.Join(stuck, s.drain()); stuck != nil {
		return errors.Join(err, stuck) // closing the store under a call would wait for it too
	}
	return errors.Join(err, s.close())
}

// drain ends the open streams first: a graceful stop waits for them. It returns an
// error where a handler does not end though its call has been cut off.
func (s *Server) drain() error {
	s.health.Shutdown()
	s.agents.Drain()
	s.control.Drain()
	stopped := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(stopped)
	}()
	if endsInTime(stopped) {
		return nil
	}
	go s.grpc.Stop() // it waits for handlers as well
	if endsInTime(stopped) {
		return nil
	}
	return errors.New("a call under way does not end; what it was doing may be lost")
}

// endsInTime reports whether what a shutdown waits for ends within drainWithin.
func endsInTime(ended <-chan struct{}) bool {
	timer := time.NewTimer(drainWithin)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// close releases what is open, in the reverse order of opening.
func (s *Server) close() error {
	var errs []error
	if s.grpc != nil {
		s.grpc.Stop() // its workers wait for calls, also where it never served
	}
	for _, l := range []net.Listener{s.metrics, s.listener} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.logs != nil {
		errs = append(errs, s.logs.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(errs...)
}

func (s *Server) serveMetrics(failed chan<- error) *http.Server {
	if s.metrics == nil {
		return nil
	}
	page := metricsPage(s.registry)
	go func() {
		if err := page.Serve(s.metrics); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return page
}

// newMetrics registers the RPC metrics.
func (s *Server) newMetrics() (*interceptor.Metrics, error) {
	metrics := interceptor.NewMetrics()
	return metrics, s.registry.Register(metrics)
}
