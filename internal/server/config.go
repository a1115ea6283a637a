// Package server assembles a control plane: configuration, store, logs, secrets,
// both services behind the one chain, listeners, and an orderly end.
//
// A [Config] is completed first, so that everything wrong with it is found before
// anything listens. The package may import everything of ours but the pipeline, the
// agent and the commands.
package server

import (
	"cmp"
	"context"
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
	// DefaultDatabaseWait has a database start that is started at the same time.
	DefaultDatabaseWait = time.Minute
	// DefaultAttemptRate is hundreds of times what a busy agent asks for, and lets one
	// with 2,000 inputs fetch them without a wait. Ten attempts may take up a tenant's.
	DefaultAttemptRate = 200
	// DefaultTenantRate has 2,000 attempts of a tenant start at once, ten calls each,
	// without a wait.
	DefaultTenantRate           = 2000
	DefaultHandshakeWithin      = 20 * time.Second
	DefaultAuthenticateWithin   = time.Minute
	DefaultUnauthenticatedConns = 1000
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
	// Shared lets other servers, of the same database, use DataDir at the same time, as
	// long as all say so.
	Shared bool
	// DatabaseWait is for how long a start waits for a PostgreSQL database that cannot be
	// reached yet, of at least a second; 0: [DefaultDatabaseWait].
	DatabaseWait time.Duration
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
	// NoSecrets keeps and delivers none: every call for them is UNAVAILABLE (SECRET-5).
	NoSecrets bool
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
	// AttemptRate is how many calls a second an attempt may make, and TenantRate how many
	// all attempts of a tenant together, of 1 or more, the second no less than the first.
	// The calls of ten seconds may come at once. What is over it waits, or is refused, as
	// the policy of the method says (LIMIT-2). 0: [DefaultAttemptRate], [DefaultTenantRate].
	AttemptRate, TenantRate int
	// HandshakeWithin bounds the handshakes of a connection, those of TLS and of HTTP/2,
	// and AuthenticateWithin the time until the first call with a good token, from the
	// beginning of the connection (LIMIT-3): each at least a second, the second no less
	// than the first. Who only asks for the health of the server is ended by it as well,
	// and connects again. 0: [DefaultHandshakeWithin], [DefaultAuthenticateWithin].
	HandshakeWithin, AuthenticateWithin time.Duration
	// UnauthenticatedConns is how many connections without such a call there may be at
	// once, of 1 or more; more wait to be accepted. 0: [DefaultUnauthenticatedConns].
	UnauthenticatedConns int
	// StreamLooks is how often a log stream that sends is held against its attempt's end
	// (LOG-9), for benches, whose clock jumps; 0: every 5 s.
	StreamLooks time.Duration
	// AlarmIgnoresUnheard is [reaper.Config.AlarmIgnoresUnheard], for benches.
	AlarmIgnoresUnheard bool
	// BeforeHandler is called right before the handler of each call, inside the chain,
	// as if it were the handler's beginning, for benches; nil: nothing is.
	BeforeHandler func(ctx context.Context, method string)
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
	c.Addr = cmp.Or(c.Addr, DefaultAddr)
	c.DataDir = cmp.Or(c.DataDir, DefaultDataDir)
	c.DatabaseWait = cmp.Or(c.DatabaseWait, DefaultDatabaseWait)
	c.WritePath = cmp.Or(c.WritePath, store.Batched)
	c.XComMaxBytes = cmp.Or(c.XComMaxBytes, xcom.MaxSizeBytes)
	c.XComTTL = cmp.Or(c.XComTTL, xcom.DefaultTTL)
	c.SilenceWindow = cmp.Or(c.SilenceWindow, reaper.DefaultSilence)
	c.QueueWindow = cmp.Or(c.QueueWindow, reaper.DefaultQueue)
	c.Grace = cmp.Or(c.Grace, reaper.DefaultGrace)
	c.AttemptRate = cmp.Or(c.AttemptRate, DefaultAttemptRate)
	c.TenantRate = cmp.Or(c.TenantRate, max(DefaultTenantRate, c.AttemptRate))
	c.HandshakeWithin = cmp.Or(c.HandshakeWithin, DefaultHandshakeWithin)
	c.AuthenticateWithin = cmp.Or(c.AuthenticateWithin, max(DefaultAuthenticateWithin, c.HandshakeWithin))
	c.UnauthenticatedConns = cmp.Or(c.UnauthenticatedConns, DefaultUnauthenticatedConns)
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
	return c, errors.Join(c.checkDatabase(), c.checkTLS(), c.checkAddr(), c.checkMetricsAddr(), c.checkXCom(), c.checkWindows(),
		c.checkRates(), c.checkConnections())
}

func (c *Config) checkDatabase() error {
	switch {
	case c.DatabaseWait < time.Second:
		return fmt.Errorf("wait for the database %v: it must be at least one second", c.DatabaseWait)
	case c.Shared && c.Database == "":
		return errors.New("shared data directory: an embedded database is of one server; name one of PostgreSQL, or do not share")
	case c.Database == "":
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

func (c *Config) checkRates() error {
	switch {
	case c.AttemptRate < 1:
		return fmt.Errorf("attempt rate %d: it must be at least one call a second", c.AttemptRate)
	case c.TenantRate < c.AttemptRate:
		return fmt.Errorf("tenant rate %d: it must be at least the attempt rate, %d calls a second", c.TenantRate, c.AttemptRate)
	}
	return nil
}

func (c *Config) checkConnections() error {
	switch {
	case c.HandshakeWithin < time.Second:
		return fmt.Errorf("time for handshakes %v: it must be at least one second", c.HandshakeWithin)
	case c.AuthenticateWithin < c.HandshakeWithin:
		return fmt.Errorf("time to authenticate %v: it must be at least the time for handshakes, %v, which is a part of it",
			c.AuthenticateWithin, c.HandshakeWithin)
	case c.UnauthenticatedConns < 1:
		return fmt.Errorf("unauthenticated connections %d: it must be at least one, or nobody can connect", c.UnauthenticatedConns)
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
