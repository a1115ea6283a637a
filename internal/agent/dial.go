package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/neochaotic/leoflow/internal/domain"
)

// maxMessage is the largest message the agent takes: an XCom value may be 3 MiB,
// and a specification may carry as much.
const maxMessage = 16 << 20

// keepaliveTime is how long a connection is quiet before it is probed. Servers end
// connections that are probed much more often.
const keepaliveTime = 30 * time.Second

// bearer puts the token in use on every call (A-START-1). A renewed one is used by
// the calls and streams that begin after it came (A-BEAT-3).
type bearer struct {
	token     atomic.Pointer[string]
	plaintext bool
}

func newBearer(token string, plaintext bool) *bearer {
	b := &bearer{plaintext: plaintext}
	b.token.Store(&token)
	return b
}

func (b *bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + *b.token.Load()}, nil
}

// RequireTransportSecurity keeps the token off a plaintext connection that nobody asked for.
func (b *bearer) RequireTransportSecurity() bool { return !b.plaintext }

// renew takes a token into use. One that is in use already is no renewal: what was
// refused with it would be refused again.
func (b *bearer) renew(token string) {
	if usableToken(token) && token != *b.token.Load() {
		b.token.Store(&token)
	}
}

// usableToken reports whether token can travel as metadata.
func usableToken(token string) bool {
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return token != ""
}

// dial prepares the one connection of an agent; nothing is sent yet.
func dial(cfg Config, token *bearer) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if !cfg.Plaintext {
		creds = credentials.NewTLS(&tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12})
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithPerRPCCredentials(token),
		grpc.WithUserAgent("leoflow-agent/" + cfg.Version),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: 20 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			// grpc's own limit of two minutes would outlast the retries of a report.
			Backoff: backoff.Config{
				BaseDelay: cfg.pace.firstWait, Multiplier: 1.6, Jitter: 0.2, MaxDelay: cfg.pace.maxWait,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if cfg.dial != nil {
		opts = append(opts, grpc.WithContextDialer(cfg.dial))
	}
	conn, err := grpc.NewClient(cfg.Addr, opts...)
	if err != nil {
		return nil, fmt.Errorf("%s is %q, which cannot be dialled: %w", domain.EnvControlPlaneAddr, cfg.Addr, err)
	}
	return conn, nil
}
