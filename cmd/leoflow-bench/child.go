package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/bench"
	"github.com/neochaotic/leoflow/internal/pgtest"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/store"
)

// childCmd is a server to be compared, in a process of its own so that what it spends can
// be told from the load. It ends when its input does.
type childCmd struct {
	Kind      string `arg:"" enum:"bare,ours,postgres"`
	DataDir   string
	Database  string
	WritePath string
	Profile   string
	// Tenants is how many tenants it greets with a token of an operator of.
	Tenants int `default:"1"`
	// Usual has the limits and windows of a server for use, and the page of metrics.
	Usual bool
	// Unlimited has it, even so, limit no attempt's and no tenant's calls.
	Unlimited bool
}

// greeting is what a child says once it listens.
type greeting struct {
	Addr     string `json:"addr,omitempty"`
	Operator string `json:"operator_token,omitempty"`
	// Operators are the tokens of all tenants, the first of them Operator.
	Operators []string `json:"operator_tokens,omitempty"`
	Metrics   string   `json:"metrics,omitempty"`
	Database  string   `json:"database,omitempty"`
}

// Run serves.
func (c *childCmd) Run(con *console) error {
	ctx, stop := untilAsked()
	defer stop()
	go func() {
		defer stop() // its input's end is the parent's
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			debug.FreeOSMemory() // all that it is ever asked for
			fmt.Fprintln(con.out)
		}
	}()
	serve := c.ours
	switch c.Kind {
	case "bare":
		serve = c.bare
	case "postgres":
		serve = c.postgres
	}
	server.SpareCollector() // in the bare one as well, or the comparison would flatter us
	return c.profiled(func() error { return serve(ctx, con) })
}

// profiled has a profile of the processor made, where one was asked for.
func (c *childCmd) profiled(serve func() error) error {
	if c.Profile == "" {
		return serve()
	}
	file, err := os.Create(c.Profile)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	err = serve()
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close())
}

func (c *childCmd) bare(ctx context.Context, con *console) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := bench.NewBare(bench.NewSpec(), server.TransportOptions()...)
	context.AfterFunc(ctx, s.Stop)
	if err := json.NewEncoder(con.out).Encode(greeting{Addr: l.Addr().String()}); err != nil {
		return err
	}
	return s.Serve(l)
}

// postgres is a private server of PostgreSQL, or a database of the one that the
// environment names, as tests have it.
func (c *childCmd) postgres(ctx context.Context, con *console) error {
	dsn, drop, err := pgtest.Create(ctx, "")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(con.out).Encode(greeting{Database: dsn}); err != nil {
		return errors.Join(err, drop())
	}
	<-ctx.Done()
	return drop()
}

// noRate is more calls a second than any load here makes: what is measured is not the
// limit of an attempt's or a tenant's rate.
const noRate = 1_000_000

// operatorFor is how long an operator's token lasts: longer than any load here.
const operatorFor = 12 * time.Hour

// beforeHandler is called before each handler of a server of ours; nil: nothing is. Tests
// make the server slow by it.
var beforeHandler func(ctx context.Context, method string)

func (c *childCmd) ours(ctx context.Context, con *console) error {
	s, err := server.New(ctx, c.config(con))
	if err != nil {
		return err
	}
	hello := greeting{Addr: s.Addr(), Metrics: s.MetricsAddr()}
	for n := range max(1, c.Tenants) {
		tenant := "bench"
		if n > 0 {
			tenant = fmt.Sprintf("bench-%d", n)
		}
		token, _, err := s.Tokens().MintOperator(auth.OperatorIdentity{Subject: "bench", TenantID: tenant, Role: auth.RoleAdmin}, operatorFor)
		if err != nil {
			return fmt.Errorf("mint an operator's token: %w", err)
		}
		hello.Operators = append(hello.Operators, token)
	}
	hello.Operator = hello.Operators[0]
	if err := json.NewEncoder(con.out).Encode(hello); err != nil {
		return err
	}
	return s.Serve(ctx)
}

// config is that of a server of ours.
func (c *childCmd) config(con *console) server.Config {
	out := server.Config{
		Addr: "127.0.0.1:0", DataDir: c.DataDir, Database: c.Database, WritePath: store.WritePath(c.WritePath),
		BeforeHandler: beforeHandler,
		Logger:        slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if !c.Usual || c.Unlimited {
		out.AttemptRate, out.TenantRate = noRate, noRate
	}
	if c.Usual {
		out.MetricsAddr = "127.0.0.1:0"
	} else {
		out.SilenceWindow = time.Hour
	}
	return out
}
