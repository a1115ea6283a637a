// Package server assembles a control plane: configuration, store, logs, secrets,
// both services behind the one chain, listeners, and an orderly end.
//
// A [Config] is completed first, so that everything wrong with it is found before
// anything listens. The package may import everything of ours but the pipeline, the
// agent and the commands.
package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/reaper"
	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// Defaults of a [Config].
const (
	DefaultAddr    = "127.0.0.1:7400"
	DefaultDataDir = "leoflow-data"
)

// Config says what a server is to be. The zero value, completed, is a server on the
// loopback address with its data in ./leoflow-data.
type Config struct {
	// Addr is the host:port to listen on; port 0: any free one.
	Addr string
	// DataDir holds the logs and the key files, and the database where Database is empty.
	DataDir string
	// Database is the URL of a PostgreSQL database, as in postgres://user@host/name, to
	// use in place of the one in DataDir. It may hold a password, and is never logged.
	Database string
	// WritePath says how what agents write all the time goes to the database; empty:
	// [store.Batched].
	WritePath store.WritePath
	// TLSCertFile and TLSKeyFile are PEM files; both or none. When they change, new
	// connections get the new certificate, as soon as both are good.
	TLSCertFile, TLSKeyFile string
	// TLS is a configuration made in memory, instead of the files.
	TLS *tls.Config
	// AllowPlaintextSecrets delivers secrets over channels that others can read (SECRET-1).
	AllowPlaintextSecrets bool
	// AllowPlaintextRemote listens without TLS on an address that others can reach.
	AllowPlaintextRemote bool
	// MetricsAddr is the host:port of the Prometheus page /metrics; empty: none.
	MetricsAddr string
	// XComMaxBytes is the limit of a value, from 1 to [xcom.MaxConfigurableSizeBytes];
	// 0: [xcom.MaxSizeBytes].
	XComMaxBytes int
	// XComTTL is the life of a value, of at least a second; 0: [xcom.DefaultTTL].
	XComTTL time.Duration
	// SilenceWindow is for how long an attempt must be silent to be lost (BEAT-5), of at
	// least a second; 0: [reaper.DefaultSilence]. Agents are asked to beat several times
	// in it, but deployed ones do so every 15 s whatever they are asked.
	SilenceWindow time.Duration
	// QueueWindow is how long an attempt may wait for its agent, from a second to
	// [auth.QueueAllowance]: its token allows for no more; 0: [reaper.DefaultQueue].
	QueueWindow time.Duration
	// Grace is how far an attempt may outlive its time-out, or its cancel's deadline, of
	// at least a second; 0: [reaper.DefaultGrace].
	Grace time.Duration
	// Clock tells the time of day; nil: time.Now, and the database's own clock for what a
	// PostgreSQL database stamps. Waits do not follow it.
	Clock func() time.Time
	// TracerProvider traces every call; nil: tracing is off and costs nothing.
	TracerProvider trace.TracerProvider
	// NewID makes task instance ids, unique within a tenant; nil: random ones.
	NewID func() string
	// Logger takes the server's own log; nil: slog.Default().
	Logger *slog.Logger

	ownClock bool // nobody gave one
}

// Complete returns the configuration with its defaults filled in, or one error that
// names each fault with its field, value and remedy. It opens nothing but the
// certificate files.
func (c Config) Complete() (Config, error) {
	if c.Addr == "" {
		c.Addr = DefaultAddr
	}
	if c.DataDir == "" {
		c.DataDir = DefaultDataDir
	}
	if c.WritePath == "" {
		c.WritePath = store.Batched
	}
	if c.XComMaxBytes == 0 {
		c.XComMaxBytes = xcom.MaxSizeBytes
	}
	if c.XComTTL == 0 {
		c.XComTTL = xcom.DefaultTTL
	}
	if c.SilenceWindow == 0 {
		c.SilenceWindow = reaper.DefaultSilence
	}
	if c.QueueWindow == 0 {
		c.QueueWindow = reaper.DefaultQueue
	}
	if c.Grace == 0 {
		c.Grace = reaper.DefaultGrace
	}
	if c.Clock == nil {
		c.Clock, c.ownClock = time.Now, true
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	var err error
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return c, fmt.Errorf("data directory %q: %w", c.DataDir, err)
	}
	return c, errors.Join(c.checkDatabase(), c.checkTLS(), c.checkAddr(), c.checkMetricsAddr(), c.checkXCom(), c.checkWindows())
}

func (c *Config) checkDatabase() error {
	if c.Database == "" {
		return nil
	}
	if err := store.CheckDSN(c.Database); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

func (c *Config) checkTLS() error {
	switch {
	case (c.TLSCertFile == "") != (c.TLSKeyFile == ""):
		return errors.New("TLS certificate and key: only one of the two files is given; give both, or none")
	case c.TLSCertFile == "":
		return nil
	case c.TLS != nil:
		return errors.New("TLS: both files and a configuration in memory are given; give one of them")
	}
	pair, err := loadCertificate(c.TLSCertFile, c.TLSKeyFile, time.Now, c.Logger)
	if err != nil {
		return fmt.Errorf("TLS certificate %q with key %q: %w; give a PEM certificate and the key that belongs to it",
			c.TLSCertFile, c.TLSKeyFile, err)
	}
	c.TLS = pair.serverTLS()
	c.TLSCertFile, c.TLSKeyFile = "", "" // taken; what follows sees one form
	return nil
}

func (c *Config) checkAddr() error {
	loopback, err := checkHostPort("address", c.Addr)
	if err != nil {
		return err
	}
	if !loopback && c.TLS == nil && !c.AllowPlaintextRemote {
		return fmt.Errorf("address %q: others can reach it, and without TLS they can read every token; "+
			"give a TLS certificate and key, listen on 127.0.0.1, or allow plaintext explicitly", c.Addr)
	}
	return nil
}

func (c *Config) checkMetricsAddr() error {
	if c.MetricsAddr == "" {
		return nil
	}
	_, err := checkHostPort("metrics address", c.MetricsAddr)
	return err
}

func (c *Config) checkXCom() error {
	switch {
	case c.XComMaxBytes < 1 || c.XComMaxBytes > xcom.MaxConfigurableSizeBytes:
		return fmt.Errorf("XCom limit %d: it must be between 1 and %d bytes", c.XComMaxBytes, xcom.MaxConfigurableSizeBytes)
	case c.XComTTL < time.Second:
		return fmt.Errorf("XCom life %v: it must be at least one second", c.XComTTL)
	}
	return nil
}

func (c *Config) checkWindows() error {
	switch {
	case c.SilenceWindow < time.Second:
		return fmt.Errorf("window of silence %v: it must be at least one second; deployed agents beat every %v", c.SilenceWindow, domain.BeatInterval)
	case c.QueueWindow < time.Second:
		return fmt.Errorf("queue window %v: it must be at least one second", c.QueueWindow)
	case c.Grace < time.Second:
		return fmt.Errorf("grace %v: it must be at least one second", c.Grace)
	case c.QueueWindow > auth.QueueAllowance:
		return fmt.Errorf("queue window %v: it must be at most %v, or tokens end before tasks that waited so long", c.QueueWindow, auth.QueueAllowance)
	}
	return nil
}

// beatsPerWindow is how often an agent is asked to beat in a window of silence, at least.
const beatsPerWindow = 8

// beatInterval is how often agents are asked to beat: as usual, unless the window of
// silence is too short for that, or healthy agents would be lost between two beats.
func (c *Config) beatInterval() time.Duration {
	return min(domain.BeatInterval, c.SilenceWindow/beatsPerWindow)
}

// checkHostPort reports whether address is one that only this machine can reach.
func checkHostPort(field, address string) (loopback bool, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("%s %q: %w; write it as host:port, such as %s", field, address, err, DefaultAddr)
	}
	if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
		return false, fmt.Errorf("%s %q: %w; write it as host:port, such as %s", field, address, err, DefaultAddr)
	}
	if host == "localhost" {
		return true, nil
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback(), nil
}
