package testbed

import (
	"context"
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

// TestABedThatIsToldToEndAtOnce ends in order, though it has hardly begun.
func TestABedThatIsToldToEndAtOnce(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, begin := range []func(context.Context, Config) (served, error){inProcess, supervised} {
		for range 5 {
			bed, err := begin(t.Context(), Config{DataDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if err := bed.Serve(ended); err != nil {
				t.Error(err)
			}
		}
	}
}
