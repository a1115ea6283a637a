package localca

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"testing"
	"time"
)

// handshake returns the certificate that a client got, or why it refused.
func handshake(t *testing.T, server, client *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.Copy(io.Discard, conn) // until the client closes; the client tells
		_ = conn.Close()
	}()
	defer func() { <-served }()
	defer func() { _ = listener.Close() }()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", listener.Addr().String(), client)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func newTestCA(t *testing.T) *CA {
	t.Helper()
	ca, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestAStart4LoopbackNamesOnly holds that a client that checks certificate and name
// accepts the loopback names and refuses every other, whoever certifies them.
func TestAStart4LoopbackNamesOnly(t *testing.T) {
	ca := newTestCA(t)
	for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
		client := ca.ClientTLS()
		client.ServerName = name
		if _, err := handshake(t, ca.ServerTLS(), client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"127.0.0.2", "example.com", "sub.localhost"} {
		client := ca.ClientTLS()
		client.ServerName = name
		if _, err := handshake(t, ca.ServerTLS(), client); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestAStart4ForeignAuthorityRefused(t *testing.T) {
	ours, other := newTestCA(t), newTestCA(t)
	client := ours.ClientTLS()
	client.ServerName = "127.0.0.1"
	if _, err := handshake(t, other.ServerTLS(), client); err == nil {
		t.Error("a certificate of another authority was accepted")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ours.PEM()) {
		t.Fatal("PEM holds no certificate")
	}
	client.RootCAs = pool
	if _, err := handshake(t, ours.ServerTLS(), client); err != nil {
		t.Errorf("with the authority from PEM: %v", err)
	}
}

// TestConstrainedKeySignsNoOtherName holds that even who has the key can certify
// nothing but this machine.
func TestConstrainedKeySignsNoOtherName(t *testing.T) {
	ca := newTestCA(t)
	server, err := ca.serverCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range []x509.Certificate{
		{DNSNames: []string{"example.com"}},
		{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}},
	} {
		template.Subject = pkix.Name{CommonName: "forged"}
		template.NotBefore, template.NotAfter = server.Leaf.NotBefore, server.Leaf.NotAfter
		leaf, err := sign(&template, ca.cert, ca.key, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: ca.Pool()}); err == nil {
			t.Errorf("%v %v was accepted", template.DNSNames, template.IPAddresses)
		}
	}
}

func TestTLS13Only(t *testing.T) {
	ca := newTestCA(t)
	client := ca.ClientTLS()
	client.ServerName = "localhost"
	client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err := handshake(t, ca.ServerTLS(), client); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
}

// TestCertificateOutlivesLongRun moves the clock: the certificate is renewed before
// it ends, and not at each handshake.
func TestCertificateOutlivesLongRun(t *testing.T) {
	clock := time.Now()
	ca, err := newCA(func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	server, client := ca.ServerTLS(), ca.ClientTLS()
	client.ServerName = "localhost"
	client.Time = func() time.Time { return clock }
	seen := map[string]bool{}
	for range 100 {
		cert, err := handshake(t, server, client)
		if err != nil {
			t.Fatalf("at %v: %v", clock, err)
		}
		seen[cert.SerialNumber.String()] = true
		clock = clock.Add(time.Hour)
	}
	if len(seen) < 5 || len(seen) > 12 {
		t.Errorf("%d certificates in 100 hours", len(seen))
	}
}
