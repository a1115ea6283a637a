package otherplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

const (
	// handshakeWithin is how long a peer may be connected without saying anything, and
	// idleFor how long without a call.
	handshakeWithin = 4 * time.Second
	idleFor         = 4 * time.Minute
	// endWithin is how long a plane that is to end in order takes at most.
	endWithin = 8 * time.Second
)

// Plane is a control plane that serves, and the fixtures beside it.
type Plane struct {
	choices Choices
	tls     *tls.Config // nil: plaintext
	store   *store
	clock   *clock
	tokens  tokens

	panics, noSecrets, noAudit atomic.Bool

	addr, fixturesAddr string
	fixtures           *grpc.Server
	watch              *watch

	mu      sync.Mutex // held while the server is started and ended
	silence time.Duration
	service *service
	server  *grpc.Server
}

// Start has a plane serve on free ports of this machine; with a configuration, over TLS.
func Start(choices Choices, over *tls.Config) (*Plane, error) {
	p := &Plane{choices: choices, tls: over, store: newStore(), clock: &clock{}, addr: "127.0.0.1:0", silence: choices.LostAfter}
	var err error
	switch choices.Signer {
	case RSA:
		p.tokens, err = newRSA(p.clock)
	case Ed25519:
		p.tokens, err = newEd25519(p.clock)
	case Opaque:
		p.tokens = newOpaque(p.clock)
	default:
		err = fmt.Errorf("there is no signer %d", choices.Signer)
	}
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", p.addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the fixtures: %w", err)
	}
	p.fixturesAddr = listener.Addr().String()
	p.fixtures = grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.MaxSendMsgSize(64<<20))
	conformancev1.RegisterFixtureServiceServer(p.fixtures, &fixtures{plane: p})
	if err := p.start(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	go func() { _ = p.fixtures.Serve(listener) }() // it ends with Stop
	return p, nil
}

// Addr is where agents call, and FixturesAddr where the suite does.
func (p *Plane) Addr() string { return p.addr }

// FixturesAddr is where the suite calls.
func (p *Plane) FixturesAddr() string { return p.fixturesAddr }

// Stop ends it.
func (p *Plane) Stop() {
	p.fixtures.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store.gate.set(well)
	p.kill()
}

// start begins to serve, on the address that it had before. It wants p.mu, or to be first.
func (p *Plane) start() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen for agents: %w", err)
	}
	p.addr = listener.Addr().String()
	p.service = newService(p)
	options := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(p.service.unary), grpc.ChainStreamInterceptor(p.service.streamed),
		grpc.MaxRecvMsgSize(p.choices.MessageMax), grpc.ConnectionTimeout(handshakeWithin),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleFor}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 8 * time.Second, PermitWithoutStream: true}),
	}
	if p.tls != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(p.tls)))
	}
	p.server = grpc.NewServer(options...)
	agentv1.RegisterAgentServiceServer(p.server, p.service)
	server := p.server
	go func() { _ = server.Serve(bounded(listener)) }() // it ends with kill or end
	p.watch = watching(p.service, p.silence)
	return nil
}

// kill ends the server without a word. It wants p.mu.
func (p *Plane) kill() {
	p.service.killed.Store(true)
	p.watch.stop()
	p.server.Stop()
}

// end ends the server in order. It wants p.mu.
func (p *Plane) end() {
	close(p.service.ending)
	late := time.AfterFunc(endWithin, p.server.Stop)
	p.server.GracefulStop()
	late.Stop()
	p.kill()
}

// again has the server begin again after it was killed, or ended in order.
func (p *Plane) again(how func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	how()
	return p.start()
}
