package file

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadTellsTheFolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p.yaml")
	if err := os.WriteFile(path, []byte("name: p\ntasks:\n  - {id: a, bash: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, name := range []string{path, "p.yaml", "./p.yaml"} {
		p, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if !filepath.IsAbs(p.Dir) || !sameFile(t, p.Dir, dir) {
			t.Errorf("Load(%q): Dir = %q, want %q", name, p.Dir, dir)
		}
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("name: p\ntasks: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte("#"+strings.Repeat("x", MaxBytes)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): ": no such file; check the path of the pipeline file",
		filepath.Join(broken, "x.yaml"): ": cannot be read: not a directory; check the path of the pipeline file",
		dir:                             ": is a directory; give the path of a pipeline file in it",
		socket:                          ": is not a regular file; copy its content into a file, and give that file",
		big:                             ":1:1: the file is over 4 MiB; move long scripts and data into files beside it",
		broken:                          `:2:8: tasks is empty; write "tasks:" and a list of tasks, each beginning with "- id:"`,
		"":                              ": no such file; check the path of the pipeline file",
	} {
		p, err := Load(path)
		var e *Error
		if !errors.As(err, &e) || p != nil {
			t.Errorf("Load(%q) = %v, %v; want an *Error", path, p, err)
		} else if err.Error() != path+want {
			t.Errorf("Load(%q)\n got %s\nwant %s", path, err, path+want)
		}
	}
}
