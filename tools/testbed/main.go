// Command testbed serves a control plane of ours on this machine alone, with
// FixtureService beside it, for the conformance suite to judge:
//
//	go run ./tools/testbed -addr 127.0.0.1:7400 -fixtures-addr 127.0.0.1:7401 -tls-ca ca.pem
//	go run ./cmd/leoflow-conformance server --addr 127.0.0.1:7400 --fixtures-addr 127.0.0.1:7401 --tls-ca ca.pem
//
// The control plane is a process of its own, so that the suite can have it killed: this
// program, started once more. It ends with this one, however that ends.
//
// Whoever reaches the second address can do anything, so an address that is not of the
// loopback is refused. It may import internal/testbed and internal/localca.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/neochaotic/leoflow/internal/localca"
	"github.com/neochaotic/leoflow/internal/testbed"
)

func main() {
	testbed.MaybeChild()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var cfg testbed.Config
	flag.StringVar(&cfg.Addr, "addr", "127.0.0.1:0", "where the control plane listens: `host:port`")
	flag.StringVar(&cfg.FixturesAddr, "fixtures-addr", "127.0.0.1:0", "where FixtureService listens: `host:port`")
	flag.StringVar(&cfg.DataDir, "data-dir", "", "the data `directory`; by default one that is removed at the end")
	ca := flag.String("tls-ca", "", "speak TLS, and write the certificate to trust to this `file`")
	flag.Parse()
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if cfg.DataDir == "" {
		if cfg.DataDir, err = os.MkdirTemp("", "leoflow-testbed-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(cfg.DataDir)) }()
	}
	if *ca != "" {
		authority, err := localca.New()
		if err != nil {
			return err
		}
		if err := os.WriteFile(*ca, authority.PEM(), 0o600); err != nil {
			return err
		}
		cfg.TLS = authority.ServerTLS()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	bed, err := testbed.NewSupervisor(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Printf("a control plane to be tested listens on %s, and anybody on this machine can do anything to it through %s\n", bed.Addr(), bed.FixturesAddr())
	return bed.Serve(ctx)
}
