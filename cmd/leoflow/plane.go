package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/localca"
	"github.com/neochaotic/leoflow/internal/server"
)

// callTokenLife is the life of the token that one call of ours carries.
const callTokenLife = time.Hour

type planeConfig struct {
	tenant  string
	dataDir string // empty: a temporary one
	temp    string // what is in it is removed at the end
	logger  *slog.Logger
}

// plane is a control plane in this process, reached over TLS as any other would be.
type plane struct {
	cfg    planeConfig
	ca     *localca.CA
	server *server.Server
	ctx    context.Context //nolint:containedctx // ends when the caller's ends, or the server by itself
	end    context.CancelCauseFunc
	halt   context.CancelFunc // ends the server
	served chan error
}

// startPlane starts one. It lives until close, whatever becomes of ctx.
func startPlane(ctx context.Context, cfg planeConfig) (*plane, error) {
	ca, err := localca.New()
	if err != nil {
		return nil, err
	}
	if cfg.dataDir == "" {
		cfg.dataDir = filepath.Join(cfg.temp, "data")
	}
	srv, err := server.New(ctx, server.Config{
		Addr: "127.0.0.1:0", DataDir: cfg.dataDir, TLS: ca.ServerTLS(), Logger: cfg.logger,
	})
	if err != nil {
		return nil, err
	}
	p := &plane{cfg: cfg, ca: ca, server: srv, served: make(chan error, 1)}
	p.ctx, p.end = context.WithCancelCause(ctx)
	serving, halt := context.WithCancel(context.WithoutCancel(ctx))
	p.halt = halt
	go func() {
		err := srv.Serve(serving)
		if serving.Err() == nil {
			p.end(fmt.Errorf("the control plane ended: %w", err))
		}
		p.served <- err
	}()
	return p, nil
}

// close ends the server in order.
func (p *plane) close() error {
	p.halt()
	err := <-p.served
	p.end(nil)
	return err
}

// connect connects as an operator of the tenant.
func (p *plane) connect(role auth.Role) (*grpc.ClientConn, error) {
	return grpc.NewClient(p.server.Addr(),
		grpc.WithTransportCredentials(credentials.NewTLS(p.ca.ClientTLS())),
		grpc.WithPerRPCCredentials(operator{p.server.Tokens(), auth.OperatorIdentity{
			Subject: "leoflow-run", TenantID: p.cfg.tenant, Role: role,
		}}),
	)
}

// operator gives each call a token of its own, so that a run may take its time.
type operator struct {
	tokens *auth.Tokens
	id     auth.OperatorIdentity
}

func (o operator) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, _, err := o.tokens.MintOperator(o.id, callTokenLife)
	if err != nil {
		return nil, errors.New("no token could be made for the call")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (operator) RequireTransportSecurity() bool { return true }
