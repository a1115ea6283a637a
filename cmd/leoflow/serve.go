package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/store"
)

type serveCmd struct {
	Addr    string `default:"${addr}" env:"LEOFLOW_SERVE_ADDR" placeholder:"HOST:PORT" help:"Address to listen on, by default ${default}; port 0 takes any free one."`
	DataDir string `default:"${dataDir}" env:"LEOFLOW_DATA_DIR" placeholder:"DIR" help:"Directory of the logs, the keys and the embedded database, by default ${default}; it is made where there is none. One server at a time, but for --shared."`
	databaseFlag
	Shared                bool          `env:"LEOFLOW_SERVE_SHARED" help:"Other servers of the same --database have the data directory, too, all with --shared. Its file system must keep locks, and show each server what the others wrote."`
	DatabaseWait          time.Duration `default:"${databaseWait}" env:"LEOFLOW_SERVE_DATABASE_WAIT" placeholder:"DURATION" help:"How long a start waits for a PostgreSQL database that cannot be reached yet, by default ${default}."`
	TLSCert               string        `env:"LEOFLOW_SERVE_TLS_CERT" placeholder:"FILE" help:"Certificate, as PEM; read again when it changes. Without one the server speaks plaintext, and delivers no secrets."`
	TLSKey                string        `env:"LEOFLOW_SERVE_TLS_KEY" placeholder:"FILE" help:"Key of the certificate, as PEM."`
	AllowPlaintextSecrets bool          `env:"LEOFLOW_SERVE_ALLOW_PLAINTEXT_SECRETS" help:"Deliver secrets over plaintext too: whoever sees the network reads them."`
	AllowPlaintextRemote  bool          `env:"LEOFLOW_SERVE_ALLOW_PLAINTEXT_REMOTE" help:"Listen in plaintext where other machines can connect: whoever sees the network reads the tokens."`
	MetricsAddr           string        `env:"LEOFLOW_SERVE_METRICS_ADDR" placeholder:"HOST:PORT" help:"Address of the Prometheus page /metrics; none by default."`
	XComMaxBytes          int           `name:"xcom-max-bytes" default:"${xcomMaxBytes}" env:"LEOFLOW_SERVE_XCOM_MAX_BYTES" placeholder:"N" help:"Largest value that a task may hand on, in bytes, by default ${default}."`
	XComTTL               time.Duration `name:"xcom-ttl" default:"${xcomTTL}" env:"LEOFLOW_SERVE_XCOM_TTL" placeholder:"DURATION" help:"Life of such a value, by default ${default}."`
	SilenceWindow         time.Duration `default:"${silenceWindow}" env:"LEOFLOW_SERVE_SILENCE_WINDOW" placeholder:"DURATION" help:"How long an agent may be silent before its attempt is lost, by default ${default}; agents beat every ${beatInterval}."`
	QueueWindow           time.Duration `default:"${queueWindow}" env:"LEOFLOW_SERVE_QUEUE_WINDOW" placeholder:"DURATION" help:"How long a launched attempt may wait for its agent, up to 24h, by default ${default}."`
	AttemptRate           int           `default:"${attemptRate}" env:"LEOFLOW_SERVE_ATTEMPT_RATE" placeholder:"N" help:"How many calls a second an attempt may make, by default ${default}. What is over that waits; a push is refused, to be tried again."`
	TenantRate            int           `default:"${tenantRate}" env:"LEOFLOW_SERVE_TENANT_RATE" placeholder:"N" help:"The same for all attempts of a tenant together, by default ${default}."`
	AuthenticateWithin    time.Duration `default:"${authenticateWithin}" env:"LEOFLOW_SERVE_AUTHENTICATE_WITHIN" placeholder:"DURATION" help:"How long a connection may be open without a call that has a good token, by default ${default}, of at least 20s; one that had such a call is never ended for being quiet."`
	WritePath             string        `default:"batched" enum:"batched,direct" env:"LEOFLOW_SERVE_WRITE_PATH" placeholder:"WAY" help:"How what agents write all the time goes to the database: batched, as much at once as comes meanwhile, or direct, each by itself; by default ${default}."`
	LogLevel              slog.Level    `default:"info" env:"LEOFLOW_SERVE_LOG_LEVEL" placeholder:"LEVEL" help:"Least level to log: debug, info, warn or error; by default ${default}."`
	LogFormat             string        `default:"text" enum:"text,json" env:"LEOFLOW_SERVE_LOG_FORMAT" placeholder:"FORM" help:"Form of the log, on standard error: text or json; by default ${default}."`
}

// Help teaches by example.
func (serveCmd) Help() string {
	return `Listen on this machine alone, with the data in ./leoflow-data:

  leoflow serve

Serve other machines, over TLS, with metrics on this one:

  leoflow serve --addr :7400 --tls-cert server.pem --tls-key server-key.pem --metrics-addr 127.0.0.1:9090

Keep the state in PostgreSQL, the password in a variable of the environment:

  PGPASSWORD=… leoflow serve --database postgres://leoflow@db.example.com/leoflow

Serve the same from several machines that have one directory:

  leoflow serve --addr :7400 … --shared --data-dir /mnt/leoflow --database postgres://leoflow@db.example.com/leoflow

SIGTERM or Ctrl-C ends the server in order: what it received is on disk. A second one ends it at once.`
}

func (c *serveCmd) config(logger *slog.Logger) server.Config {
	return server.Config{
		Addr: c.Addr, DataDir: c.DataDir, Database: c.Database, DatabaseWait: c.DatabaseWait, Shared: c.Shared,
		WritePath:   store.WritePath(c.WritePath),
		TLSCertFile: c.TLSCert, TLSKeyFile: c.TLSKey,
		AllowPlaintextSecrets: c.AllowPlaintextSecrets, AllowPlaintextRemote: c.AllowPlaintextRemote,
		MetricsAddr:  c.MetricsAddr,
		XComMaxBytes: c.XComMaxBytes, XComTTL: c.XComTTL,
		SilenceWindow: c.SilenceWindow, QueueWindow: c.QueueWindow,
		AttemptRate: c.AttemptRate, TenantRate: c.TenantRate, AuthenticateWithin: c.AuthenticateWithin,
		Logger: logger,
	}
}

// Run serves until a signal.
func (c *serveCmd) Run(con *console) error {
	if err := c.checkFlags(); err != nil {
		return badInput{err}
	}
	cfg, err := c.config(newLogger(con.err, c.LogLevel, c.LogFormat)).Complete()
	if err != nil {
		return badInput{namingFlags(err)}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	server.SpareCollector()
	srv, err := server.New(ctx, cfg)
	if err != nil {
		return err
	}
	state := ""
	if place := store.Place(cfg.Database); place != "" {
		state = ", its state in PostgreSQL (" + place + ")"
	}
	fmt.Fprintf(con.out, "leoflow serves on %s%s, with its data in %s; for a token: leoflow token --data-dir %s\n",
		srv.Addr(), state, cfg.DataDir, quoteArg(cfg.DataDir))
	context.AfterFunc(ctx, stop) // the next signal ends the process
	return srv.Serve(ctx)
}

// checkFlags refuses what the server would take for its default.
func (c *serveCmd) checkFlags() error {
	for flag, value := range map[string]string{"--addr": c.Addr, "--data-dir": c.DataDir} {
		if value == "" {
			return fmt.Errorf("%s is empty: give one, or leave it out", flag)
		}
	}
	for flag, value := range map[string]int{
		"--xcom-max-bytes": c.XComMaxBytes, "--attempt-rate": c.AttemptRate, "--tenant-rate": c.TenantRate,
	} {
		if value < 1 {
			return fmt.Errorf("%s is %d: give 1 or more, or leave it out", flag, value)
		}
	}
	for flag, value := range map[string]time.Duration{
		"--xcom-ttl": c.XComTTL, "--silence-window": c.SilenceWindow, "--queue-window": c.QueueWindow,
		"--authenticate-within": c.AuthenticateWithin, "--database-wait": c.DatabaseWait,
	} {
		if value <= 0 {
			return fmt.Errorf("%s is %v: give at least 1s, or leave it out", flag, value)
		}
	}
	return nil
}

// fieldFlags are the flags of what the server's configuration calls otherwise.
var fieldFlags = []struct{ field, flags string }{
	{"TLS certificate", "--tls-cert, --tls-key"},
	{"address", "--addr"},
	{"metrics address", "--metrics-addr"},
	{"shared data directory", "--shared"},
	{"data directory", "--data-dir"},
	{"wait for the database", "--database-wait"},
	{"database", "--database"},
	{"XCom limit", "--xcom-max-bytes"},
	{"XCom life", "--xcom-ttl"},
	{"window of silence", "--silence-window"},
	{"queue window", "--queue-window"},
	{"attempt rate", "--attempt-rate"},
	{"tenant rate", "--tenant-rate"},
	{"time to authenticate", "--authenticate-within"},
}

// namingFlags puts before each fault of a configuration the flag that is to be mended.
func namingFlags(err error) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		for _, f := range fieldFlags {
			if strings.HasPrefix(line, f.field) {
				lines[i] = f.flags + ": " + strings.Replace(line, "allow plaintext explicitly", "give --allow-plaintext-remote", 1)
				break
			}
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}
