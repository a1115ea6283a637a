package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/pipeline"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// venue is the control plane that a run takes place on.
type venue struct {
	ctx       context.Context                //nolint:containedctx // ends with the caller's, or with the control plane in this process
	client    controlv1.ControlServiceClient // drives the run
	admin     controlv1.ControlServiceClient // stores its secrets
	addr      string
	caFile    string // what agents trust; empty: the system's authorities
	plaintext bool
	remote    *remote // nil: it is in this process
	close     func() error
}

// inWords says of a control plane elsewhere, as every other command does, that it is
// not there or takes no such call; all else stays as it is.
func (v *venue) inWords(err error) error {
	switch status.Code(err) { //nolint:exhaustive // all others last
	case codes.Unavailable, codes.Unauthenticated, codes.PermissionDenied:
		if v.remote != nil {
			return v.remote.inWords(err, "the run")
		}
	}
	return err
}

// firstContact is how long a control plane may take before it is told that it is waited for.
const firstContact = 2 * time.Second

// awaitContact returns once the connection stands, or is waited for and that is told: at once
// where nobody is there, and where nobody answers within a time.
func (r *remote) awaitContact(ctx context.Context, within time.Duration, conn *grpc.ClientConn, out io.Writer) {
	patience, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready && ctx.Err() == nil; state = conn.GetState() {
		if state == connectivity.TransientFailure || !conn.WaitForStateChange(patience, state) && ctx.Err() == nil {
			fmt.Fprintf(out, "leoflow: no control plane at %s answers in %s yet; waiting a minute for it\n", terminal.Visible(r.addr), r.channel())
			return
		}
	}
}

// agentCommand is the command line of the agents: of this program where command is
// empty. Its errors are of input.
func agentCommand(command string) ([]string, error) {
	words := strings.Fields(command)
	if len(words) == 0 {
		program, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("this program cannot find itself to launch agents: %w; name another by --agent", err)
		}
		return []string{program, "agent", "--temp-dir", "{temp}"}, nil
	}
	program, err := exec.LookPath(words[0])
	if err == nil {
		program, err = filepath.Abs(program) // agents work in another directory
	}
	if err != nil {
		return nil, fmt.Errorf("--agent: %w; name a program that is there", err)
	}
	return append([]string{program}, words[1:]...), nil
}

// launcher launches agents by a command, which work in dir and keep what is temporary
// in temp.
func (v *venue) launcher(command []string, dir, temp string) *pipeline.Exec {
	return &pipeline.Exec{
		Command: command,
		Addr:    v.addr, CAFile: v.caFile, Plaintext: v.plaintext,
		Dir: dir, TempDir: temp, Environ: os.Environ(),
	}
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

// visit uses a control plane that runs elsewhere, and tells out where it is not there
// yet. Its errors are of input.
func visit(ctx context.Context, flags *remoteFlags, out io.Writer) (*venue, error) {
	r, conn, err := flags.connect()
	if err != nil {
		return nil, badInput{err}
	}
	v := &venue{
		ctx: ctx, client: r, admin: r, addr: r.addr, plaintext: r.plaintext, remote: r, close: conn.Close,
	}
	if flags.CA != "" {
		// Agents work in another directory.
		if v.caFile, err = filepath.Abs(flags.CA); err != nil {
			return nil, errors.Join(badInput{fmt.Errorf("--ca %s: %w", flags.CA, err)}, conn.Close())
		}
	}
	r.awaitContact(ctx, firstContact, conn, out)
	return v, nil
}
