package logs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLog1UnreadableLogIsAnError puts a directory where the oldest or the newest
// segment is, which not even the superuser reads: a log that cannot be read must look
// neither empty, nor like one to begin anew, nor lose what is in the way of it.
func TestLog1UnreadableLogIsAnError(t *testing.T) {
	for name, pick := range map[string]func([]string) string{
		"oldest": func(files []string) string { return files[0] },
		"newest": func(files []string) string { return files[len(files)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			opts, files := storedLog(t, Options{SegmentBytes: 1}, 3)
			path := pick(files)
			kept := path + ".kept"
			if err := os.Rename(path, kept); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
				t.Fatal(err)
			}
			d := testDir(t, opts)
			if got, err := readToTheEnd(t, d); err == nil {
				t.Errorf("read as %v", numbersOf(got))
			}
			if name == "newest" { // what numbers the log has is in there
				if w, err := d.OpenLines(testContext(t), testRef); err == nil {
					t.Error("it is written anew")
					_ = w.Close()
				}
			}
			mustClose(t, d)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(kept, path); err != nil {
				t.Fatal(err)
			}
			equal(t, []int64{1, 2, 3}, numbersOf(readAll(t, testDir(t, opts))))
		})
	}
}

// readToTheEnd reads until there is no more, or an error.
func readToTheEnd(t *testing.T, d *Dir) ([]Record, error) {
	t.Helper()
	var all []Record
	var pos int64
	for {
		got, err := d.Read(testContext(t), testRef, pos, 1000)
		if err != nil || len(got) == 0 {
			return all, err
		}
		all = append(all, got...)
		pos = got[len(got)-1].Next
	}
}

// TestRootThatIsNoDirectoryIsRefused before anything is said to be stored there.
func TestRootThatIsNoDirectoryIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{path, filepath.Join(path, "below")} {
		if d, err := NewDir(Options{Root: root}); err == nil {
			t.Errorf("%s is taken", root)
			_ = d.Close()
		}
	}
}
