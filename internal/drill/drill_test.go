package drill

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// deadline bounds a drill; a third of it is enough on a busy machine.
const deadline = 5 * time.Minute

// TestCrash kills the server four times under a small pipeline. That its comparison is
// worth something is shown on what it has read: it tells each loss that is made there.
//
// It holds LOG-1, LOG-2, LOG-3, LOG-4, STATE-2, STATE-3, XCOM-1, XCOM-4, A-NET-1,
// A-LOG-1 and A-LOG-2 under the sudden death of the server.
func TestCrash(t *testing.T) {
	t.Parallel() // it waits more than it works
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	dir := t.TempDir()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64N(1_000_000)
	t.Logf("seed %d; more by: go run ./tools/crashdrill -seed %d", seed, seed)
	result, err := Run(ctx, Config{Program: program, Dir: dir, Kills: 4, Groups: 2, Parallel: 6, Seed: seed, Out: t.Output()})
	if err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "serve.log"))
		t.Fatalf("%v\n%s", err, said[max(0, len(said)-4096):])
	}
	t.Log(result)
	for _, difference := range result.Differences() {
		t.Error(difference)
	}
	if result.Kills < 4 || result.Lines < result.Plan.Lines() || result.Values == 0 || result.Reports < result.Attempts {
		t.Errorf("too little to be worth something: %v, of a plan of %d lines", result, result.Plan.Lines())
	}
	if !t.Failed() {
		for _, harm := range harms {
			harm.prove(t, result.Plan, result.Seen, result.Stored)
		}
	}
}
