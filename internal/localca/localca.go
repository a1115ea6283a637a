// Package localca is a certificate authority for one process: it exists in memory
// only, signs for this machine's loopback names only, and ends with the process.
//
// It may import the standard library only.
package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

const (
	// caLife is far longer than any run; the key that it certifies is never stored.
	caLife = 365 * 24 * time.Hour
	// serverLife is how long one server certificate is good for. It is replaced at
	// half of it, so that a run may last as long as it likes.
	serverLife = 24 * time.Hour
	// skew is how far a clock may step back without making a certificate too young.
	skew = time.Hour
)

// CA is an authority with a key of its own. It is safe for concurrent use.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	mu     sync.Mutex
	server *tls.Certificate // the present one
}

// New makes an authority with a new ECDSA P-256 key. What it signs is valid for
// 127.0.0.0/8, ::1 and localhost, and for no other name, whoever holds the key.
func New() (*CA, error) { return newCA(time.Now) }

func newCA(now func() time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the local authority: %w", err)
	}
	template := &x509.Certificate{
		Subject:                     pkix.Name{CommonName: "leoflow local authority"},
		NotBefore:                   now().Add(-skew),
		NotAfter:                    now().Add(caLife),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{"localhost"},
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	cert, err := sign(template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("make the local authority: %w", err)
	}
	ca := &CA{cert: cert, key: key, now: now}
	if _, err := ca.serverCertificate(); err != nil {
		return nil, err
	}
	return ca, nil
}

// PEM returns the authority's certificate, for whoever is to trust it.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// Pool returns a pool with the authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// ServerTLS returns the configuration of a server on this machine: TLS 1.3, with a
// certificate for 127.0.0.1, ::1 and localhost that is renewed by itself.
func (ca *CA) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return ca.serverCertificate() },
	}
}

// ClientTLS returns the configuration of a client that trusts this authority alone.
func (ca *CA) ClientTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca.Pool()}
}

// serverCertificate returns the present certificate, or a new one where it has
// less than half of its life before it.
func (ca *CA) serverCertificate() (*tls.Certificate, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.server != nil && ca.server.Leaf.NotAfter.Sub(ca.now()) > serverLife/2 {
		return ca.server, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the local server: %w", err)
	}
	leaf, err := sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "leoflow"},
		NotBefore:   ca.now().Add(-skew),
		NotAfter:    ca.now().Add(serverLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, ca.cert, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of the local server: %w", err)
	}
	ca.server = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	return ca.server, nil
}

// sign gives template a serial number and returns it as parent's key signs it.
func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
