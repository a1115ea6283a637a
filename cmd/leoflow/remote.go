package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

const (
	// callTimeout is how long a call that is no stream may take.
	callTimeout = time.Minute
	// maxReply is the largest message taken from a server, in bytes.
	maxReply = 16 << 20
)

// remoteHelp is said by each command that calls a control plane.
const remoteHelp = `The control plane is that of --server, called with a token that leoflow token mints. It is called in plaintext where the address is of this machine (localhost, 127.0.0.0/8, ::1) and no --ca is given, or where --plaintext is; else over TLS, trusting the authorities of --ca, or those of the system.`

// remoteFlags say which control plane is called, and as whom.
type remoteFlags struct {
	Server string `default:"${addr}" env:"LEOFLOW_SERVER" placeholder:"HOST:PORT" help:"Control plane to call, by default ${default}."`
	accessFlags
}

// accessFlags say as whom a control plane is called, and over which channel.
type accessFlags struct {
	Token     string `env:"LEOFLOW_TOKEN" placeholder:"TOKEN" help:"Operator's token, as leoflow token prints it. Other users of this machine see the command line: rather give a file, or the variable."`
	TokenFile string `env:"LEOFLOW_TOKEN_FILE" placeholder:"FILE" help:"File that holds the token."`
	CA        string `name:"ca" env:"LEOFLOW_CA" placeholder:"FILE" help:"Authorities to trust, as PEM, in place of the system's."`
	Plaintext bool   `env:"LEOFLOW_PLAINTEXT" help:"Call another machine without TLS: whoever sees the network reads the token, and the values that you store."`
}

// remote is a control plane that is called.
type remote struct {
	controlv1.ControlServiceClient
	addr      string
	plaintext bool
}

// call connects and calls do, whose errors of calls it puts into words: subject is
// what was not found then. A signal ends the context, and the exit code tells it.
func (f *remoteFlags) call(subject string, do func(ctx context.Context, r *remote) error) error {
	r, conn, err := f.connect()
	if err != nil {
		return badInput{err}
	}
	defer func() { _ = conn.Close() }() // nothing is under way any more
	signals := catchSignals()
	defer signals.release()
	err = do(signals.ctx, r)
	if number := signals.caught(); number != 0 {
		return exitCode(128 + number)
	}
	return r.inWords(err, subject)
}

// connect prepares the connection; nothing is sent yet. Its errors are of input.
func (f *remoteFlags) connect() (*remote, *grpc.ClientConn, error) {
	host, _, err := net.SplitHostPort(f.Server)
	if err == nil && host == "" {
		err = errors.New("it names no host")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--server %q: %w; write it as host:port", f.Server, err)
	}
	token, err := f.token()
	if err != nil {
		return nil, nil, err
	}
	creds, plaintext, err := f.channel(host)
	if err != nil {
		return nil, nil, err
	}
	conn, err := grpc.NewClient(f.Server,
		grpc.WithTransportCredentials(creds),
		grpc.WithPerRPCCredentials(bearer{token, plaintext}),
		grpc.WithUserAgent("leoflow/"+currentVersion()),
		grpc.WithDisableServiceConfig(),
		// A server that is back is called soon, however long it was away.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)),
		grpc.WithUnaryInterceptor(withTimeout),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("--server %q: %w; write it as host:port", f.Server, err)
	}
	return &remote{controlv1.NewControlServiceClient(conn), f.Server, plaintext}, conn, nil
}

// channel decides between plaintext and TLS, as remoteHelp says.
func (f *remoteFlags) channel(host string) (_ credentials.TransportCredentials, plaintext bool, err error) {
	ip := net.ParseIP(host)
	loopback := host == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case f.Plaintext && f.CA != "":
		return nil, false, errors.New("--plaintext and --ca are both given: give --ca for TLS, or --plaintext to go without")
	case f.Plaintext || loopback && f.CA == "":
		return insecure.NewCredentials(), true, nil
	case f.CA == "":
		return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), false, nil
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, false, fmt.Errorf("--ca: %w; give the PEM file of the server's authority", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, false, fmt.Errorf("--ca %s holds no certificate: give the PEM file of the server's authority", f.CA)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}), false, nil
}

// AfterApply decides, of two flags that exclude each other, for the one that the command
// line says rather than the environment, and that rather than the configuration file.
// Where both are said in one place, both stay, and are refused together.
func (f *accessFlags) AfterApply(ctx *kong.Context) error { //nolint:unparam // kong calls nothing else
	if f.Token != "" && f.TokenFile != "" {
		switch c := cmp.Compare(sourceOf(ctx, "token"), sourceOf(ctx, "token-file")); {
		case c > 0:
			f.TokenFile = ""
		case c < 0:
			f.Token = ""
		}
	}
	if f.CA != "" && f.Plaintext {
		switch c := cmp.Compare(sourceOf(ctx, "ca"), sourceOf(ctx, "plaintext")); {
		case c > 0:
			f.Plaintext = false
		case c < 0:
			f.CA = ""
		}
	}
	return nil
}

// token returns the token of the flags. No error holds a token.
func (f *remoteFlags) token() (string, error) {
	token, path, from := f.Token, f.TokenFile, "--token"
	if token != "" && path != "" {
		return "", errors.New("--token and --token-file are both given: give one of them")
	}
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w; give a file that can be read", err)
		}
		token, from = string(text), "--token-file "+path
	}
	token = strings.TrimSpace(token)
	if token == "" {
		return "", fmt.Errorf("no token is given: %s", howToGetAToken)
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("%s holds what is no token: %s", from, howToGetAToken)
		}
	}
	return token, nil
}

const howToGetAToken = "mint one with leoflow token --data-dir DIR, where the server's data is, and give it as LEOFLOW_TOKEN, --token-file or --token" //nolint:gosec // advice

// withTimeout bounds a call, so that no command waits for ever.
func withTimeout(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return invoke(ctx, method, req, reply, conn, opts...)
}

// bearer is a token on each call.
type bearer struct {
	token     string
	plaintext bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// RequireTransportSecurity keeps the token off a plaintext connection that nobody asked for.
func (b bearer) RequireTransportSecurity() bool { return !b.plaintext }
