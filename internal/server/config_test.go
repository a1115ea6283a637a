package server_test

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/xcom"
)

func TestConfigZeroValueIsALoopbackServer(t *testing.T) {
	cfg, err := server.Config{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Addr != "127.0.0.1:7400" || !filepath.IsAbs(cfg.DataDir) || cfg.XComMaxBytes != xcom.MaxSizeBytes ||
		cfg.XComTTL != xcom.DefaultTTL || cfg.AttemptRate != 200 || cfg.TenantRate != 2000 ||
		cfg.HandshakeWithin != 20*time.Second || cfg.AuthenticateWithin != time.Minute || cfg.UnauthenticatedConns != 1000 || cfg.Logger == nil {
		t.Errorf("completed to %+v", cfg)
	}
}

func TestConfigFaultsNameValueAndRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  server.Config
		want []string
	}{
		"address without port":     {server.Config{Addr: "127.0.0.1"}, []string{`address "127.0.0.1"`, "host:port"}},
		"port that is none":        {server.Config{Addr: "127.0.0.1:http2000"}, []string{"http2000", "host:port"}},
		"others can reach it":      {server.Config{Addr: "0.0.0.0:1"}, []string{`"0.0.0.0:1"`, "TLS"}},
		"every interface":          {server.Config{Addr: ":7400"}, []string{`":7400"`, "TLS"}},
		"key without certificate":  {server.Config{TLSKeyFile: "k.pem"}, []string{"give both"}},
		"certificate without key":  {server.Config{TLSCertFile: "c.pem"}, []string{"give both"}},
		"files that are not there": {server.Config{TLSCertFile: "c.pem", TLSKeyFile: "k.pem"}, []string{`"c.pem"`, `"k.pem"`, "give a PEM"}},
		"TLS given twice":          {server.Config{TLS: &tls.Config{MinVersion: tls.VersionTLS13}, TLSCertFile: "c", TLSKeyFile: "k"}, []string{"one of them"}},
		"metrics without port":     {server.Config{MetricsAddr: "x"}, []string{`metrics address "x"`, "host:port"}},
		"XCom limit too high":      {server.Config{XComMaxBytes: xcom.MaxConfigurableSizeBytes + 1}, []string{"3145729", "3145728"}},
		"XCom limit negative":      {server.Config{XComMaxBytes: -1}, []string{"-1", "between 1"}},
		"attempt rate negative":    {server.Config{AttemptRate: -1}, []string{"attempt rate -1", "at least one"}},
		"tenant rate too low":      {server.Config{AttemptRate: 20, TenantRate: 19}, []string{"tenant rate 19", "at least the attempt rate, 20"}},
		"no time for handshakes":   {server.Config{HandshakeWithin: time.Millisecond}, []string{"handshakes 1ms", "one second"}},
		"no time to authenticate": {
			server.Config{HandshakeWithin: time.Minute, AuthenticateWithin: time.Second},
			[]string{"authenticate 1s", "at least the time for handshakes, 1m0s"},
		},
		"nobody can connect":  {server.Config{UnauthenticatedConns: -2}, []string{"connections -2", "at least one"}},
		"XCom life too short": {server.Config{XComTTL: time.Millisecond}, []string{"1ms", "one second"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.cfg.Complete()
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// TestConfigOneLimitRaisesTheOtherWithIt holds that who sets one of two that belong
// together need not know of the other's default.
func TestConfigOneLimitRaisesTheOtherWithIt(t *testing.T) {
	cfg, err := server.Config{AttemptRate: 5000, HandshakeWithin: time.Hour}.Complete()
	if err != nil || cfg.TenantRate != 5000 || cfg.AuthenticateWithin != time.Hour {
		t.Errorf("completed to %+v: %v", cfg, err)
	}
}

func TestConfigTellsEveryFaultAtOnce(t *testing.T) {
	_, err := server.Config{Addr: "x", XComMaxBytes: -1, MetricsAddr: "y"}.Complete()
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %q, want three lines", err)
	}
}

func TestConfigPlaintextRemoteOnlyWhenInsistedOn(t *testing.T) {
	if _, err := (server.Config{Addr: "0.0.0.0:0", AllowPlaintextRemote: true}).Complete(); err != nil {
		t.Errorf("insisted on, and refused: %v", err)
	}
	if _, err := (server.Config{Addr: "localhost:0"}).Complete(); err != nil {
		t.Errorf("localhost refused: %v", err)
	}
	if _, err := (server.Config{Addr: "[::1]:0"}).Complete(); err != nil {
		t.Errorf("::1 refused: %v", err)
	}
}
