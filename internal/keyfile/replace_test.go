package keyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/neochaotic/leoflow/internal/keyfile"
)

// TestReplaceLosesNoUpdate counts in a file, in several goroutines, while others read.
func TestReplaceLosesNoUpdate(t *testing.T) {
	const each, writers = 20, 4
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				err := keyfile.Replace(path, func(old []byte) ([]byte, error) {
					n, err := strconv.Atoi(string(old))
					return []byte(strconv.Itoa(n + 1)), err
				})
				if err != nil {
					t.Error(err)
				}
				if data, err := keyfile.Load(path); err != nil || len(data) == 0 {
					t.Errorf("read %q, %v", data, err)
				}
			}
		})
	}
	wg.Wait()
	data, err := keyfile.Load(path)
	if err != nil || string(data) != strconv.Itoa(each*writers) {
		t.Errorf("counted %s, %v", data, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestReplaceLeavesWhatItRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	other := func([]byte) ([]byte, error) { return []byte("other"), nil }
	if err := keyfile.Replace(path, other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where there is none: %v", err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	fault := errors.New("fault")
	if err := keyfile.Replace(path, func([]byte) ([]byte, error) { return []byte("other"), fault }); !errors.Is(err, fault) {
		t.Errorf("a failing update: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := keyfile.Replace(path, other); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others may use: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("it holds %q, %v", data, err)
	}
}

// TestReplaceFollowsALink: a key that is kept on another disk stays there.
func TestReplaceFollowsALink(t *testing.T) {
	path, kept := filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "kept")
	if err := errors.Join(os.WriteFile(kept, []byte("old"), 0o600), os.Symlink(kept, path)); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(
		keyfile.Replace(path, func([]byte) ([]byte, error) { return []byte("new"), nil }),
		keyfile.Sync(path))
	if err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(path); err != nil || target != kept {
		t.Errorf("it links to %q, %v", target, err)
	}
	if data, err := os.ReadFile(kept); err != nil || string(data) != "new" {
		t.Errorf("there it holds %q, %v", data, err)
	}
}
