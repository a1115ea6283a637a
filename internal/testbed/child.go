package testbed

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// childEnv tells a process that it is a child.
	childEnv = "LEOFLOW_TESTBED_CHILD"
	// serveWithin is how long a child may take until it serves, endWithin how long to end
	// in order. A server waits up to 10 s for each of a few things.
	serveWithin = 30 * time.Second
	endWithin   = time.Minute
)

// order is what a child is told, as one line of JSON. What it hears then is nothing, for
// as long as its parent lives.
type order struct {
	Addr, DataDir string
	Database      string // see [Config.Database]
	Cert, Key     []byte // PEM; none: plaintext
	Level         slog.Level
	Settings      settings
	Again         bool // on the address of one that has ended
}

// answer is where a child serves.
type answer struct{ Addr, FixturesAddr string }

// MaybeChild is called first of all by a program that uses a [Supervisor]: in the
// server's process, which is the program started once more, it does not return.
func MaybeChild() {
	if os.Getenv(childEnv) == "" {
		return
	}
	if err := serveChild(); err != nil {
		fmt.Fprintln(os.Stderr, "testbed: the server's process:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveChild() error {
	signal.Ignore(syscall.SIGINT) // of a terminal it is for the parent, which then says so
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var o order
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err != nil {
		return fmt.Errorf("what to serve: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(1) // the parent is gone
	}()
	cfg := Config{
		Addr: o.Addr, DataDir: o.DataDir, Database: o.Database,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: o.Level})),
	}
	if o.Cert != nil {
		pair, err := tls.X509KeyPair(o.Cert, o.Key)
		if err != nil {
			return err
		}
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	bed, err := newBed(ctx, cfg, o.Settings, o.Again)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer{bed.Addr(), bed.FixturesAddr()}); err != nil {
		return err
	}
	return bed.Serve(ctx)
}

// child is a process with a server and its fixtures.
type child struct {
	answer
	cmd   *exec.Cmd
	conn  *grpc.ClientConn // to its fixtures
	told  atomic.Bool      // to end, or killed
	ended chan struct{}
	err   error // read after ended
}

// startChild starts this program as a child, and waits until it serves. It dies with
// this process.
func startChild(ctx context.Context, o order, says io.Writer) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(program), ended: make(chan struct{})} //nolint:gosec,noctx // this program, which lives until it is told to end
	c.cmd.Env = append(os.Environ(), childEnv+"=1")
	c.cmd.Stderr = says
	c.cmd.SysProcAttr = diesWithParent()
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	heard := make(chan error, 1)
	go func() {
		err := json.NewEncoder(in).Encode(o)
		if err == nil {
			err = json.NewDecoder(out).Decode(&c.answer)
		}
		heard <- err
		_, _ = io.Copy(io.Discard, out) // to its end, before Wait closes it
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, serveWithin)
	defer cancel()
	select {
	case err = <-heard:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		c.conn, err = grpc.NewClient(c.FixturesAddr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)))
	}
	if err != nil {
		_ = c.kill()
		return nil, fmt.Errorf("the server's process does not serve: %w", err)
	}
	return c, nil
}

// kill ends the child without a word.
func (c *child) kill() error {
	c.told.Store(true)
	err := c.cmd.Process.Kill()
	<-c.ended
	c.forget()
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("it had ended by itself: %w", errors.Join(c.err, err))
	}
	return err
}

// stop has the child end in order.
func (c *child) stop() error {
	c.told.Store(true)
	defer c.forget()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		<-c.ended
		return errors.Join(err, c.err)
	}
	timer := time.NewTimer(endWithin)
	defer timer.Stop()
	select {
	case <-c.ended:
		return c.err
	case <-timer.C:
		return errors.Join(fmt.Errorf("it does not end within %v", endWithin), c.kill())
	}
}

func (c *child) forget() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// certificatePEM is the certificate that a configuration shows on this machine, for
// another process to show.
func certificatePEM(cfg *tls.Config) (cert, key []byte, err error) {
	if cfg == nil {
		return nil, nil, nil
	}
	var pair *tls.Certificate
	switch {
	case len(cfg.Certificates) > 0:
		pair = &cfg.Certificates[0]
	case cfg.GetCertificate != nil:
		if pair, err = cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: "localhost"}); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, errors.New("TLS: the configuration has no certificate")
	}
	for _, der := range pair.Certificate {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
