package main

import (
	"path/filepath"
	"testing"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// TestTheListsAndTheTableAgreeWithWhatIsThere runs no mutant: it compares the lists of
// mutants, sentinels and checks, and the table of the last full run with them. Of a side that
// the table has nothing of yet, the lists alone.
func TestTheListsAndTheTableAgreeWithWhatIsThere(t *testing.T) {
	sides, err := config{}.sides(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	table, err := matrix.ReadTable(filepath.Join("..", "..", tablePath))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sides {
		for _, fault := range s.Faults() {
			t.Errorf("%s: %s", s.Side, fault)
		}
		if len(table.Of(s.Side).Rows) == 0 {
			continue
		}
		for _, difference := range table.Stale(s) {
			t.Errorf("%s of a %s is stale: %s: run make mutants-full, or make mutants-missing where only what is new lacks", tablePath, s.Side, difference)
		}
	}
}
