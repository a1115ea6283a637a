package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookAtFilesEvery is how often, at most, the files of a certificate are read again.
const lookAtFilesEvery = time.Second

// certificate is a pair of PEM files that is read again when they change, however
// they are replaced: in place, by a rename, or by a symbolic link that is swapped.
// Each new connection gets the last good pair; connections that are open keep
// theirs. It is safe for concurrent use.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	logger            *slog.Logger

	good atomic.Pointer[tls.Certificate]

	mu     sync.Mutex // held by whoever reads the files; nobody waits for it
	looked time.Time
	seen   digest // of what was read last, good or not
	fault  string // why nothing could be read, as logged; empty: it could
}

// digest tells what two files hold. Their times may not: a copy keeps them, and two
// writes may fall into one tick.
type digest struct{ cert, key [sha256.Size]byte }

// loadCertificate reads the pair for the first time; then it must be good.
func loadCertificate(certFile, keyFile string, now func() time.Time, logger *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, now: now, logger: logger, looked: now()}
	cert, key, err := c.read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	c.seen = digest{sha256.Sum256(cert), sha256.Sum256(key)}
	c.good.Store(&pair)
	return c, nil
}

// serverTLS returns the configuration of a server that shows the certificate.
func (c *certificate) serverTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get returns the certificate for a new connection, after a look at the files if the
// last one was long enough ago.
func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// The disk may hang: whoever comes meanwhile takes what is there.
	if c.mu.TryLock() {
		defer c.mu.Unlock()
		if now := c.now(); now.Sub(c.looked) >= lookAtFilesEvery {
			c.looked = now
			c.look(hello.Context())
		}
	}
	return c.good.Load(), nil
}

// look takes a changed pair into use if it is good; a broken one changes nothing and
// is logged once.
func (c *certificate) look(ctx context.Context) {
	cert, key, err := c.read()
	if err != nil {
		if c.fault != err.Error() {
			c.fault = err.Error()
			c.keep(ctx, err)
		}
		return
	}
	c.fault = ""
	sum := digest{sha256.Sum256(cert), sha256.Sum256(key)}
	if sum == c.seen {
		return
	}
	c.seen = sum
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		c.keep(ctx, err)
		return
	}
	c.good.Store(&pair)
	c.logger.InfoContext(ctx, "TLS certificate reloaded",
		"certificate", c.certFile, "serial", pair.Leaf.SerialNumber.String(), "not_after", pair.Leaf.NotAfter.UTC())
}

// keep says that the pair in use stays. It is a warning only: files that are
// replaced one after the other look broken in between.
func (c *certificate) keep(ctx context.Context, cause error) {
	c.logger.WarnContext(ctx, "TLS certificate not reloaded; the last good one stays in use",
		"certificate", c.certFile, "key", c.keyFile, "not_after", c.good.Load().Leaf.NotAfter.UTC(), "cause", cause.Error())
}

func (c *certificate) read() (cert, key []byte, err error) {
	if cert, err = os.ReadFile(c.certFile); err != nil {
		return nil, nil, err
	}
	key, err = os.ReadFile(c.keyFile)
	return cert, key, err
}
