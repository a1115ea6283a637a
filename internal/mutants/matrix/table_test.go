package matrix

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// TestATableIsWrittenWholeOrNotAtAll: whoever has the table open while it is written again,
// or finds it after a kill, has a whole one.
func TestATableIsWrittenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path, before := filepath.Join(dir, "matrix.tsv"), filepath.Join(dir, "before")
	one := Row{catalogue.Server, "a mutant", "A-CHECK", Named, ""}
	if err := (&Table{[]Row{one}}).Write(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, before); err != nil {
		t.Fatal(err)
	}
	if err := (&Table{[]Row{one, one}}).Write(path); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]int{before: 1, path: 2} {
		if table, err := ReadTable(file); err != nil || len(table.Rows) != want {
			t.Errorf("%s: %v, %v; want %d rows", file, table, err, want)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}
