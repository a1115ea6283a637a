package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pemPair is a certificate that signs itself for 127.0.0.1, and its key.
type pemPair struct {
	cert, key []byte
	root      *x509.Certificate
}

func newPair(t *testing.T, serial int64) pemPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pemPair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), root,
	}
}

// tlsRig is a certificate of two files, on a clock that a test moves.
type tlsRig struct {
	t      *testing.T
	dir    string
	pool   *x509.CertPool
	cert   *certificate
	config *tls.Config // the server's

	mu   sync.Mutex
	time time.Time
	log  bytes.Buffer
}

func (r *tlsRig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// logged counts the lines of the log that say so.
func (r *tlsRig) logged(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

func (r *tlsRig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.time
}

// pass lets the clock pass.
func (r *tlsRig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.time = r.time.Add(d)
}

func (r *tlsRig) certFile() string { return filepath.Join(r.dir, "tls.crt") }
func (r *tlsRig) keyFile() string  { return filepath.Join(r.dir, "tls.key") }

func newTLSFiles(t *testing.T, roots ...pemPair) *tlsRig {
	t.Helper()
	r := &tlsRig{t: t, dir: t.TempDir(), pool: x509.NewCertPool(), time: time.Now()}
	for _, p := range roots {
		r.pool.AddCert(p.root)
	}
	return r
}

func (r *tlsRig) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// load takes the files into use.
func (r *tlsRig) load() {
	r.t.Helper()
	cert, err := loadCertificate(r.certFile(), r.keyFile(), r.now, r.logger())
	if err != nil {
		r.t.Fatal(err)
	}
	r.cert, r.config = cert, cert.serverTLS()
}

// shown returns the serial number of the certificate that a new connection gets.
func (r *tlsRig) shown() int64 {
	near, far := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() { _ = tls.Server(far, r.config).HandshakeContext(r.t.Context()) })
	client := tls.Client(near, &tls.Config{RootCAs: r.pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	err := client.HandshakeContext(r.t.Context())
	_ = near.Close()
	serving.Wait()
	if err != nil {
		r.t.Errorf("handshake: %v", err)
		return 0
	}
	return client.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func (r *tlsRig) wantShown(want int64) {
	r.t.Helper()
	if got := r.shown(); got != want {
		r.t.Errorf("a new connection gets certificate %d, want %d", got, want)
	}
}

func (r *tlsRig) write(name string, data []byte) {
	r.t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *tlsRig) inPlace(p pemPair) {
	r.t.Helper()
	r.write(r.certFile(), p.cert)
	r.write(r.keyFile(), p.key)
}

func (r *tlsRig) byRename(p pemPair) {
	r.t.Helper()
	for name, data := range map[string][]byte{r.certFile(): p.cert, r.keyFile(): p.key} {
		r.write(name+".new", data)
		if err := os.Rename(name+".new", name); err != nil {
			r.t.Fatal(err)
		}
	}
}

// bySymlink replaces the files as Kubernetes does: each is a link through ..data,
// a link to a directory, that is swapped for another by a rename.
func (r *tlsRig) bySymlink(p pemPair) {
	r.t.Helper()
	version, err := os.MkdirTemp(r.dir, "..version-")
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(filepath.Join(version, "tls.crt"), p.cert)
	r.write(filepath.Join(version, "tls.key"), p.key)
	data := filepath.Join(r.dir, "..data")
	if err := os.Symlink(filepath.Base(version), data+"_tmp"); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(data+"_tmp", data); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range []string{r.certFile(), r.keyFile()} {
		if err := os.Symlink(filepath.Join("..data", filepath.Base(name)), name); err != nil && !os.IsExist(err) {
			r.t.Fatal(err)
		}
	}
}
