package server

import (
	"context"
	"crypto/tls"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

func TestTLSNewConnectionsGetTheNewCertificate(t *testing.T) {
	one, two := newPair(t, 1), newPair(t, 2)
	for name, replace := range map[string]func(*tlsRig, pemPair){
		"in place": (*tlsRig).inPlace, "by a rename": (*tlsRig).byRename, "by a symbolic link": (*tlsRig).bySymlink,
	} {
		t.Run(name, func(t *testing.T) {
			r := newTLSFiles(t, one, two)
			replace(r, one)
			r.load()
			r.wantShown(1)
			replace(r, two)
			r.pass(lookAtFilesEvery - 1)
			r.wantShown(1) // looked at no more often than that
			r.pass(1)
			r.wantShown(2)
			r.pass(lookAtFilesEvery)
			r.wantShown(2)
			replace(r, one)
			r.pass(lookAtFilesEvery)
			r.wantShown(1)
			if n, warned := r.logged("TLS certificate reloaded"), r.logged("WARN"); n != 2 || warned != 0 {
				t.Errorf("logged %d reloads and %d warnings, want 2 and none:\n%s", n, warned, &r.log)
			}
		})
	}
}

// TestTLSAConfigurationOfFilesReadsThemAgain is on the system's clock, which is the
// bubble's.
func TestTLSAConfigurationOfFilesReadsThemAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newPair(t, 1), newPair(t, 2)
		r := newTLSFiles(t, one, two)
		r.inPlace(one)
		cfg, err := Config{TLSCertFile: r.certFile(), TLSKeyFile: r.keyFile(), Logger: r.logger()}.Complete()
		if err != nil {
			t.Fatal(err)
		}
		if cfg.TLSCertFile != "" || cfg.TLSKeyFile != "" || cfg.TLS.MinVersion < tls.VersionTLS12 {
			t.Errorf("completed to %+v", cfg)
		}
		r.config = cfg.TLS
		r.wantShown(1)
		r.inPlace(two)
		r.wantShown(1)
		<-time.After(lookAtFilesEvery) // on the bubble's clock
		r.wantShown(2)
	})
}

// TestTLSAChangeThatTheTimesDoNotTellIsSeen keeps the files' times and sizes.
func TestTLSAChangeThatTheTimesDoNotTellIsSeen(t *testing.T) {
	one, two := newPair(t, 1), newPair(t, 2)
	r := newTLSFiles(t, one, two)
	r.inPlace(one)
	r.load()
	info, err := os.Stat(r.certFile())
	if err != nil {
		t.Fatal(err)
	}
	r.inPlace(two)
	for _, name := range []string{r.certFile(), r.keyFile()} {
		if err := os.Chtimes(name, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	r.pass(lookAtFilesEvery)
	r.wantShown(2)
}

func TestTLSABrokenFileChangesNothing(t *testing.T) {
	one, two := newPair(t, 1), newPair(t, 2)
	for name, spoil := range map[string]func(*tlsRig){
		"no certificate":          func(r *tlsRig) { r.write(r.certFile(), []byte("none")) },
		"no key":                  func(r *tlsRig) { r.write(r.keyFile(), []byte("none")) },
		"an empty certificate":    func(r *tlsRig) { r.write(r.certFile(), nil) },
		"half a certificate":      func(r *tlsRig) { r.write(r.certFile(), two.cert[:len(two.cert)/2]) },
		"a key of another":        func(r *tlsRig) { r.write(r.keyFile(), two.key) },
		"a certificate alone":     func(r *tlsRig) { r.write(r.certFile(), two.cert) },
		"switched":                func(r *tlsRig) { r.inPlace(pemPair{cert: one.key, key: one.cert}) },
		"the certificate is gone": func(r *tlsRig) { _ = os.Remove(r.certFile()) },
		"the key is gone":         func(r *tlsRig) { _ = os.Remove(r.keyFile()) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newTLSFiles(t, one, two)
			r.inPlace(one)
			r.load()
			spoil(r)
			for range 3 {
				r.pass(lookAtFilesEvery)
				r.wantShown(1)
			}
			if n := r.logged("TLS certificate not reloaded"); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, &r.log)
			}
			r.inPlace(two)
			r.pass(lookAtFilesEvery)
			r.wantShown(2)
			spoil(r)
			r.inPlace(two) // mended before anyone looked
			r.pass(lookAtFilesEvery)
			r.wantShown(2)
			if n := r.logged("TLS certificate not reloaded"); n != 1 {
				t.Errorf("logged %d times in the end, want once", n)
			}
			for what, key := range map[string]pemPair{"first": one, "second": two} {
				if r.logged(strings.Split(string(key.key), "\n")[1]) != 0 {
					t.Errorf("the log holds the %s key", what)
				}
			}
		})
	}
}

func TestTLSAFileThatGoesTwiceIsLoggedTwice(t *testing.T) {
	one := newPair(t, 1)
	r := newTLSFiles(t, one)
	r.inPlace(one)
	r.load()
	for range 2 {
		if err := os.Remove(r.keyFile()); err != nil {
			t.Fatal(err)
		}
		r.pass(lookAtFilesEvery)
		r.wantShown(1)
		r.inPlace(one)
		r.pass(lookAtFilesEvery)
		r.wantShown(1)
	}
	if n, reloads := r.logged("TLS certificate not reloaded"), r.logged("TLS certificate reloaded"); n != 2 || reloads != 0 {
		t.Errorf("logged %d faults and %d reloads, want 2 and none", n, reloads)
	}
}

// TestTLSADiskThatHangsHoldsUpNobody has somebody else read the files for ever.
func TestTLSADiskThatHangsHoldsUpNobody(t *testing.T) {
	one := newPair(t, 1)
	r := newTLSFiles(t, one)
	r.inPlace(one)
	r.load()
	r.cert.mu.Lock()
	defer r.cert.mu.Unlock()
	r.pass(lookAtFilesEvery)
	r.wantShown(1)
}

func TestTLSConnectionsMeetAGoodCertificateWhileItIsReplaced(t *testing.T) {
	one, two := newPair(t, 1), newPair(t, 2)
	r := newTLSFiles(t, one, two)
	r.bySymlink(one)
	r.load()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 10 {
				if got := r.shown(); got != 1 && got != 2 {
					t.Errorf("got certificate %d", got)
				}
				r.pass(lookAtFilesEvery)
			}
		})
	}
	for n := range 10 {
		r.bySymlink([]pemPair{two, one}[n%2])
	}
	r.bySymlink(two)
	clients.Wait()
	r.pass(lookAtFilesEvery)
	r.wantShown(2)
}

// TestTLSOpenConnectionsLiveOnThroughARotation calls a whole server.
func TestTLSOpenConnectionsLiveOnThroughARotation(t *testing.T) {
	one, two := newPair(t, 1), newPair(t, 2)
	r := newTLSFiles(t, one, two)
	r.bySymlink(one)
	r.load()
	srv, err := New(t.Context(), Config{Addr: "127.0.0.1:0", DataDir: t.TempDir(), TLS: r.config, Logger: r.logger()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	open := r.dial(srv.Addr())
	r.wantSeen(open, 1)
	r.bySymlink(two)
	r.pass(lookAtFilesEvery)
	r.wantSeen(r.dial(srv.Addr()), 2)
	r.wantSeen(open, 1)
	r.write(r.certFile(), []byte("none"))
	r.pass(lookAtFilesEvery)
	r.wantSeen(r.dial(srv.Addr()), 2)
	r.wantSeen(open, 1)
}

func (r *tlsRig) dial(addr string) *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(
		credentials.NewTLS(&tls.Config{RootCAs: r.pool, MinVersion: tls.VersionTLS12})))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// wantSeen calls over a connection, and wants it to be under the certificate.
func (r *tlsRig) wantSeen(conn *grpc.ClientConn, want int64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	var p peer.Peer
	if _, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.Peer(&p), grpc.WaitForReady(true)); err != nil {
		r.t.Fatal(err)
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		r.t.Fatalf("no TLS: %T", p.AuthInfo)
	}
	if got := info.State.PeerCertificates[0].SerialNumber.Int64(); got != want {
		r.t.Errorf("the connection is under certificate %d, want %d", got, want)
	}
}
