package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/pipeline"
)

// venue is the control plane that a run takes place on.
type venue struct {
	ctx       context.Context                //nolint:containedctx // ends with the caller's, or with the control plane in this process
	client    controlv1.ControlServiceClient // drives the run
	admin     controlv1.ControlServiceClient // stores its secrets
	addr      string
	caFile    string // what agents trust; empty: the system's authorities
	plaintext bool
	close     func() error
}

// launcher launches agents of this program, which work in dir and keep what is
// temporary in temp.
func (v *venue) launcher(dir, temp string) (*pipeline.Exec, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program cannot find itself to launch agents: %w", err)
	}
	return &pipeline.Exec{
		Command: []string{program, "agent", "--temp-dir", "{temp}"},
		Addr:    v.addr, CAFile: v.caFile, Plaintext: v.plaintext,
		Dir: dir, TempDir: temp, Environ: os.Environ(),
	}, nil
}

// host starts a control plane in this process, for as long as the run.
func host(ctx context.Context, cfg planeConfig) (_ *venue, err error) {
	p, err := startPlane(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	ca, err := pipeline.WriteCA(cfg.temp, p.ca.PEM())
	if err != nil {
		return nil, err
	}
	driver, err := p.connect(auth.RoleOperator)
	if err != nil {
		return nil, err
	}
	// The one role that may store secrets is used for nothing else.
	admin, err := p.connect(auth.RoleAdmin)
	if err != nil {
		return nil, errors.Join(err, driver.Close())
	}
	return &venue{
		ctx:    p.ctx,
		client: controlv1.NewControlServiceClient(driver), admin: controlv1.NewControlServiceClient(admin),
		addr: p.server.Addr(), caFile: ca,
		close: func() error { return errors.Join(admin.Close(), driver.Close(), p.close()) },
	}, nil
}

// visit uses a control plane that runs elsewhere. Its errors are of input.
func visit(ctx context.Context, flags *remoteFlags) (*venue, error) {
	r, conn, err := flags.connect()
	if err != nil {
		return nil, badInput{err}
	}
	v := &venue{
		ctx: ctx, client: r, admin: r, addr: r.addr, plaintext: r.plaintext, close: conn.Close,
	}
	if flags.CA != "" {
		// Agents work in another directory.
		if v.caFile, err = filepath.Abs(flags.CA); err != nil {
			return nil, errors.Join(badInput{fmt.Errorf("--ca %s: %w", flags.CA, err)}, conn.Close())
		}
	}
	return v, nil
}
