package testbed

import (
	"strings"
	"testing"
)

func TestAnAddressThatOthersReachIsRefused(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0", "nonsense"} {
		for _, cfg := range []Config{{Addr: addr, DataDir: t.TempDir()}, {FixturesAddr: addr, DataDir: t.TempDir()}} {
			bed, err := New(t.Context(), cfg)
			if err == nil || bed != nil || !strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%+v: %v", cfg, err)
			}
		}
	}
}
