package keyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/neochaotic/leoflow/internal/keyfile"
)

func content(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

func TestCreatedOnceForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	data, created, err := keyfile.LoadOrCreate(path, content("first"))
	if err != nil || !created || string(data) != "first" {
		t.Fatalf("first: %q created=%v err=%v", data, created, err)
	}
	data, created, err = keyfile.LoadOrCreate(path, content("second"))
	if err != nil || created || string(data) != "first" {
		t.Fatalf("again: %q created=%v err=%v, want the first content", data, created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != keyfile.Mode {
		t.Fatalf("mode %v err=%v, want %v", info.Mode(), err, keyfile.Mode)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("left behind: %v err=%v", entries, err)
	}
}

func TestRacingCreatorsAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	const racers = 16
	got := make([]string, racers)
	makers := make([]bool, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			data, created, err := keyfile.LoadOrCreate(path, content(strings.Repeat("x", i+1)))
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
			got[i], makers[i] = string(data), created
		})
	}
	wg.Wait()
	made := 0
	for i := range racers {
		if got[i] != got[0] {
			t.Errorf("racer %d holds %q, racer 0 %q", i, got[i], got[0])
		}
		if makers[i] {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d racers made the file, want 1", made)
	}
}

func TestFileOfOthersRefused(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"group": 0o640, "world": 0o604, "run": 0o700} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("k"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keyfile.Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: err=%v, want a refusal with the remedy", mode, err)
		}
	}
	if _, err := keyfile.Load(dir); err == nil {
		t.Error("a directory was taken for a key file")
	}
	if _, err := keyfile.Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, _, err := keyfile.LoadOrCreate(filepath.Join(dir, "no", "dir"), content("x")); err == nil {
		t.Error("made a file in a directory that is not there")
	}
}

func TestContentThatFailsMakesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	boom := errors.New("boom")
	if _, _, err := keyfile.LoadOrCreate(path, func() ([]byte, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("err=%v, want the content's", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is there: %v", err)
	}
}
