package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestConfigFromEnv(t *testing.T) {
	cfg, err := ConfigFromEnv(lookup(map[string]string{domain.EnvControlPlaneAddr: "[::1]:7070", domain.EnvAgentToken: " a.b.c\n"}))
	if err != nil || cfg.Addr != "[::1]:7070" || cfg.Token != "a.b.c" || !cfg.Plaintext || cfg.Python != "" || cfg.RootCAs != nil {
		t.Errorf("read %v, %v", cfg.LogValue(), err)
	}
	cfg, err = ConfigFromEnv(lookup(map[string]string{domain.EnvControlPlaneAddr: "h:1", domain.EnvAgentToken: "t", domain.EnvAgentInsecure: "False", domain.EnvPython: "py", domain.EnvAgentTLSCA: newAuthority(t).pem(t)}))
	if err != nil || cfg.Plaintext || cfg.Python != "py" || cfg.RootCAs == nil {
		t.Errorf("read %v, %v", cfg.LogValue(), err)
	}
	for _, plain := range []string{"", "true", "1", "no"} {
		cfg, err := ConfigFromEnv(lookup(map[string]string{domain.EnvControlPlaneAddr: "h:1", domain.EnvAgentToken: "t", domain.EnvAgentInsecure: plain, domain.EnvAgentTLSCA: "/missing"}))
		if err != nil || !cfg.Plaintext {
			t.Errorf("%q: %v, %v", plain, cfg.LogValue(), err)
		}
	}
}

func TestConfigErrorsNameTheVariable(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		variable string
		env      map[string]string
	}{
		"no address":      {domain.EnvControlPlaneAddr, map[string]string{domain.EnvAgentToken: "secret"}},
		"no port":         {domain.EnvControlPlaneAddr, map[string]string{domain.EnvAgentToken: "secret", domain.EnvControlPlaneAddr: "host"}},
		"empty port":      {domain.EnvControlPlaneAddr, map[string]string{domain.EnvAgentToken: "secret", domain.EnvControlPlaneAddr: "host:"}},
		"no token":        {domain.EnvAgentToken, map[string]string{domain.EnvControlPlaneAddr: "h:1"}},
		"quoted token":    {domain.EnvAgentToken, map[string]string{domain.EnvControlPlaneAddr: "h:1", domain.EnvAgentToken: "secret secret"}},
		"no CA file":      {domain.EnvAgentTLSCA, map[string]string{domain.EnvControlPlaneAddr: "h:1", domain.EnvAgentToken: "secret", domain.EnvAgentInsecure: "false", domain.EnvAgentTLSCA: empty + "x"}},
		"no certificates": {domain.EnvAgentTLSCA, map[string]string{domain.EnvControlPlaneAddr: "h:1", domain.EnvAgentToken: "secret", domain.EnvAgentInsecure: "false", domain.EnvAgentTLSCA: empty}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ConfigFromEnv(lookup(c.env))
			if err == nil || !strings.HasPrefix(err.Error(), c.variable) || strings.ContainsAny(err.Error(), "\n") ||
				!strings.Contains(err.Error(), "set it to") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestStart1ConfigDoesNotPrintTheToken(t *testing.T) {
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("config", "config", Config{Addr: "h:1", Token: "secret"})
	if strings.Contains(out.String(), "secret") || !strings.Contains(out.String(), "h:1") {
		t.Error(out.String())
	}
	if c := (Config{}).completed(); c.Logger == nil || c.Grace != DefaultGrace || len(c.Environ) == 0 || c.pace != &defaultPace {
		t.Error(fmt.Sprint("defaults: ", c.LogValue()))
	}
}
