package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/bench"
	"github.com/neochaotic/leoflow/internal/server"
)

// childCmd is a server to be compared, in a process of its own so that what it spends can
// be told from the load. It ends when its input does.
type childCmd struct {
	Kind    string `arg:"" enum:"bare,ours"`
	DataDir string
}

// greeting is what a child says once it listens.
type greeting struct {
	Addr     string `json:"addr"`
	Operator string `json:"operator_token,omitempty"`
}

// Run serves.
func (c *childCmd) Run(con *console) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is the parent's
		stop()
	}()
	if c.Kind == "bare" {
		return c.bare(ctx, con)
	}
	return c.ours(ctx, con)
}

func (*childCmd) bare(ctx context.Context, con *console) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := bench.NewBare(bench.NewSpec())
	context.AfterFunc(ctx, s.Stop)
	if err := json.NewEncoder(con.out).Encode(greeting{Addr: l.Addr().String()}); err != nil {
		return err
	}
	return s.Serve(l)
}

func (c *childCmd) ours(ctx context.Context, con *console) error {
	s, err := server.New(ctx, server.Config{
		Addr: "127.0.0.1:0", DataDir: c.DataDir, SilenceWindow: time.Hour,
		Logger: slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	token, _, err := s.Tokens().MintOperator(auth.OperatorIdentity{Subject: "bench", TenantID: "bench", Role: auth.RoleAdmin}, time.Hour)
	if err != nil {
		return fmt.Errorf("mint an operator's token: %w", err)
	}
	if err := json.NewEncoder(con.out).Encode(greeting{s.Addr(), token}); err != nil {
		return err
	}
	return s.Serve(ctx)
}
