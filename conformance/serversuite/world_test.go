package serversuite

import (
	"math/rand/v2"
	"testing"
)

// TestNoTwoWorldsOfALongRunHaveOneName draws as many names as some hundred repetitions of
// all checks do: a world that another check has would fail both, now and then.
func TestNoTwoWorldsOfALongRunHaveOneName(t *testing.T) {
	choices := rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{}
	for n := range 300_000 {
		name := worldName(choices)
		if seen[name] {
			t.Fatalf("name %d is that of another world: %s", n, name)
		}
		seen[name] = true
	}
}
