package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// The exit codes of an agent. Whoever launched it decides by the state in the
// store; the code is for a person who reads it.
const (
	// ExitOK says that the control plane knows the outcome, whatever it is: it
	// acknowledged the terminal report, or said itself that the attempt is over.
	ExitOK = 0
	// ExitUnreported says that the control plane does not know it from this agent.
	ExitUnreported = 1
	// ExitBadConfig says that nothing was tried, for want of a usable configuration.
	ExitBadConfig = 2
)

// DefaultGrace is how long a task has between a polite stop and the kill.
const DefaultGrace = 10 * time.Second

// Config is what an agent is launched with.
type Config struct {
	// Addr is the control plane's host:port.
	Addr string
	// Token is the attempt's token. It is never logged and never given to the task
	// (A-START-1).
	Token string
	// Plaintext speaks without TLS. False: only TLS, certificate and name checked
	// (A-START-4).
	Plaintext bool
	// RootCAs are the authorities to trust; nil: those of the system.
	RootCAs *x509.CertPool
	// Python is the interpreter for python tasks, a path or a name on PATH; empty:
	// python3, else python. Tasks find it in LEOFLOW_PYTHON, as the agent did.
	Python string

	// Logger takes what the agent says of itself; nil: text on standard error.
	Logger *slog.Logger
	// Version is the agent's own version.
	Version string
	// Grace is how long a task has between a polite stop and the kill; 0 or less:
	// [DefaultGrace].
	Grace time.Duration
	// TempDir is where the attempt's private directory is made; empty: the system's.
	TempDir string
	// Environ is what the task inherits, as KEY=value; nil: the agent's own.
	Environ []string
	// Kill, once closed, ends the grace of a task that is being stopped; nil: never.
	Kill <-chan struct{}
	// Pass brings signals for the task's process group; one that comes while no task
	// runs is dropped. Nil: none.
	Pass <-chan os.Signal

	pace *pace // nil: defaultPace
	kin  *children
	dial func(context.Context, string) (net.Conn, error) // nil: over the network
}

// ConfigFromEnv reads the configuration that agents are launched with:
// LEOFLOW_CONTROL_PLANE_ADDR, LEOFLOW_AGENT_TOKEN, LEOFLOW_AGENT_INSECURE (plaintext
// unless "false", in any case of letters), LEOFLOW_AGENT_TLS_CA (a PEM file) and
// LEOFLOW_PYTHON. An error is one line that names the variable
// and the remedy, and holds no value of the token.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	cfg := Config{
		Addr:      strings.TrimSpace(getenv(domain.EnvControlPlaneAddr)),
		Token:     strings.TrimSpace(getenv(domain.EnvAgentToken)),
		Plaintext: !strings.EqualFold(strings.TrimSpace(getenv(domain.EnvAgentInsecure)), "false"),
		Python:    getenv(domain.EnvPython),
	}
	if err := cfg.check(); err != nil {
		return Config{}, err
	}
	if path := getenv(domain.EnvAgentTLSCA); path != "" && !cfg.Plaintext {
		pool, err := readCA(path)
		if err != nil {
			return Config{}, err
		}
		cfg.RootCAs = pool
	}
	return cfg, nil
}

func (c Config) check() error {
	if c.Addr == "" {
		return errors.New(domain.EnvControlPlaneAddr + " is not set: set it to the control plane's host:port")
	}
	if _, port, err := net.SplitHostPort(c.Addr); err != nil || port == "" {
		return fmt.Errorf("%s is %q: set it to the control plane's host:port, such as localhost:7070", domain.EnvControlPlaneAddr, c.Addr)
	}
	if c.Token == "" {
		return errors.New(domain.EnvAgentToken + " is not set: set it to the token that the attempt was launched with")
	}
	if !usableToken(c.Token) {
		return errors.New(domain.EnvAgentToken + " holds characters that no token has: set it to the token alone, without quotes or line breaks")
	}
	return nil
}

func readCA(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read (%w): set it to a PEM file of certificates, or unset it to trust the system's", domain.EnvAgentTLSCA, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s names %q, which holds no certificate: set it to a PEM file of certificates", domain.EnvAgentTLSCA, path)
	}
	return pool, nil
}

// LogValue tells all but the token.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("addr", c.Addr),
		slog.Bool("plaintext", c.Plaintext),
		slog.String("version", c.Version),
		slog.Duration("grace", c.Grace),
	)
}

func (c Config) completed() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	if c.Environ == nil {
		c.Environ = os.Environ()
	}
	if c.pace == nil {
		c.pace = &defaultPace
	}
	if c.kin == nil {
		c.kin = &children{}
	}
	return c
}

// pace holds the waits of an agent, so that tests can shorten them.
type pace struct {
	firstWait, maxWait time.Duration // between two tries of a call, growing
	try                time.Duration // one try of a call
	start              time.Duration // all tries of a call before the task starts
	report             time.Duration // all tries of a terminal report (A-NET-1), or of a push
	hurry              time.Duration // what is left for reports and logs once the agent is asked to stop
	beat               time.Duration // between heartbeats, until the server says otherwise (A-BEAT-1)
	minBeat, maxBeat   time.Duration // what a server may ask for
	minTry, maxTry     time.Duration // the deadline of one heartbeat
	refusedBeats       int           // refusals in a row after which the task is stopped (A-NET-2)
	linger             time.Duration // for the output to end after the task's process has
	flush              time.Duration // for the log to be taken after the task ended
	stall              time.Duration // for a full log queue to move before lines are dropped
	status             time.Duration // for the reason why a log stream takes no more lines
	steady             time.Duration // after which a log stream counts as one that worked
	logTries           int           // log streams that may fail in a row other than by UNAVAILABLE

	after func(time.Duration) <-chan time.Time // tells that a task's time is over
}

var defaultPace = pace{
	firstWait:    200 * time.Millisecond,
	maxWait:      5 * time.Second,
	try:          20 * time.Second,
	start:        60 * time.Second,
	report:       90 * time.Second,
	hurry:        10 * time.Second,
	beat:         15 * time.Second,
	minBeat:      100 * time.Millisecond,
	maxBeat:      5 * time.Minute,
	minTry:       3 * time.Second,
	maxTry:       10 * time.Second,
	refusedBeats: 10,
	linger:       5 * time.Second,
	flush:        60 * time.Second,
	stall:        30 * time.Second,
	status:       time.Second,
	steady:       30 * time.Second,
	logTries:     8,
	after:        time.After,
}
