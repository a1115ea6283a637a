package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

func TestNet1UnavailableIsRetried(t *testing.T) {
	f := &fake{spec: bash(`echo 1 > "$LEOFLOW_RETURN_VALUE_PATH"`)}
	f.spec.XcomInputMapping = inputs(map[string][]string{"in": {"up"}})
	busy, err := status.New(codes.ResourceExhausted, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	f.onCall = func(m string, nth int) error {
		switch {
		case m == "Heartbeat" || nth > 2:
			return nil
		case m == "PushXCom":
			return busy.Err()
		default:
			return status.Error(codes.Unavailable, "later")
		}
	}
	if code := newBench(t, f).run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	wantOutcome(t, f.terminal(t), success, 0, "")
	for method, n := range f.counted() {
		if method != "Heartbeat" && n != 3 {
			t.Errorf("%s was called %d times", method, n)
		}
	}
}

func TestNet1OtherErrorsAreNotRetried(t *testing.T) {
	for _, code := range []codes.Code{codes.Internal, codes.ResourceExhausted, codes.Unauthenticated, codes.FailedPrecondition} {
		t.Run(code.String(), func(t *testing.T) {
			f := &fake{spec: bash("true")}
			f.onCall = func(m string, _ int) error {
				if m == "ReportState SUCCESS" {
					return status.Error(code, "no")
				}
				return nil
			}
			b := newBench(t, f)
			if code := b.run(t); code != ExitUnreported {
				t.Errorf("exit code %d", code)
			}
			if n := f.called("ReportState SUCCESS"); n != 1 || !strings.Contains(b.log.String(), "the outcome could not be reported") {
				t.Errorf("reported %d times; said %s", n, b.log.String())
			}
		})
	}
}

func TestNet1HangingCallIsTriedAgain(t *testing.T) {
	f := &fake{spec: bash("true")}
	release := make(chan struct{})
	defer close(release)
	f.onReport = func(in *report) (*agentv1.ReportStateResponse, error) {
		if in.GetState() == success && f.called("ReportState SUCCESS") == 1 {
			<-release
		}
		return &agentv1.ReportStateResponse{Acknowledged: true}, nil
	}
	b := newBench(t, f)
	b.pace.try = 200 * time.Millisecond
	if code := b.run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestNet1UnacknowledgedReport(t *testing.T) {
	f := &fake{spec: bash("true")}
	f.onReport = func(*report) (*agentv1.ReportStateResponse, error) { return &agentv1.ReportStateResponse{}, nil }
	if code := newBench(t, f).run(t); code != ExitUnreported {
		t.Errorf("exit code %d", code)
	}
}

// The server is gone while the task ends, and comes back on the same address.
func TestNet1ReportOutlivesARestart(t *testing.T) {
	script, open := gate(t)
	f := &fake{spec: bash("echo before; " + script + "; echo after")}
	b := newBench(t, f)
	b.pace.status = defaultPace.status // of the stream that broke none may come
	addr, stop := f.listen(t, "127.0.0.1:0")
	b.cfg.Addr = addr
	up := make(chan struct{})
	f.onStream = f.upon("before", func() { close(up) })
	code := make(chan int, 1)
	go func() { code <- Run(t.Context(), b.cfg) }()
	await(t, up, "the task's first line")
	stop()
	open()
	after := &fake{spec: f.spec, counts: map[string]int{}, tokens: map[string]bool{}}
	after.listen(t, addr)
	if got := await(t, code, "the end of the agent"); got != ExitOK {
		t.Errorf("exit code %d; said %s", got, b.log.String())
	}
	wantOutcome(t, after.terminal(t), success, 0, "")
	wantLines(t, after.texts("stdout"), "before", "after")
}

func TestNet1NobodyThere(t *testing.T) {
	b := newBench(t, &fake{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Addr = l.Addr().String()
	_ = l.Close()
	b.pace.start, b.pace.hurry = 50*time.Millisecond, 50*time.Millisecond
	if code := b.run(t); code != ExitUnreported || !strings.Contains(b.log.String(), "could not be reached") {
		t.Errorf("exit code %d; said %s", code, b.log.String())
	}
}

// authority makes certificates for one name each.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	der, a.key = sign(t, template, template, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign returns a certificate and its new key; a nil signer signs with that key itself.
func sign(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// pem writes the authority's certificate to a file.
func (a *authority) pem(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *authority) server(t *testing.T, name string) credentials.TransportCredentials {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, key := sign(t, template, a.cert, a.key)
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12,
	})
}

func TestStart4TLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		server credentials.TransportCredentials
		ca     string
		fine   bool
		says   string
	}{
		"checked":         {ours.server(t, "127.0.0.1"), ours.pem(t), true, ""},
		"other authority": {theirs.server(t, "127.0.0.1"), ours.pem(t), false, "certificate"},
		"system's":        {ours.server(t, "127.0.0.1"), "", false, "certificate"},
		"other name":      {ours.server(t, "elsewhere.example"), ours.pem(t), false, "certificate"},
		"plaintext":       {nil, ours.pem(t), false, "handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: bash("true"), creds: c.server, vars: map[string]string{"k": "v"}}
			b := newBench(t, f)
			env := map[string]string{
				domain.EnvControlPlaneAddr: b.cfg.Addr, domain.EnvAgentToken: testToken, domain.EnvAgentInsecure: "false", domain.EnvAgentTLSCA: c.ca,
			}
			cfg, err := ConfigFromEnv(func(name string) string { return env[name] })
			if err != nil {
				t.Fatal(err)
			}
			cfg.Logger, cfg.TempDir, cfg.pace = b.cfg.Logger, b.cfg.TempDir, &b.pace
			b.cfg = cfg
			if !c.fine {
				b.pace.start, b.pace.hurry = 50*time.Millisecond, 50*time.Millisecond
			}
			code := b.run(t)
			if c.fine {
				wantOutcome(t, f.terminal(t), success, 0, "")
				return
			}
			if code != ExitUnreported || len(f.arrived()) != 0 || !strings.Contains(b.log.String(), c.says) {
				t.Errorf("exit code %d after %q; said %s", code, f.arrived(), b.log.String())
			}
		})
	}
}
