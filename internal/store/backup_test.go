package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

// TestSnapshotHoldsWhatWasCommittedBefore takes snapshots while runs are created.
func TestSnapshotHoldsWhatWasCommittedBefore(t *testing.T) {
	const writers, runs = 2, 30
	ctx := context.Background()
	dir, to := t.TempDir(), t.TempDir()
	keyset, err := secrets.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, Config{Dir: dir, Sealer: keyset})
	if err := s.PutVariable(as("a"), "somebody", "v", "value"); err != nil {
		t.Fatal(err)
	}
	key := func(w, i int) domain.RunKey { return domain.RunKey{DagID: fmt.Sprint(w), RunID: fmt.Sprint(i)} }
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range runs {
				if _, _, err := s.CreateRun(as("a"), domain.NewRun{RunKey: key(w, i), Tasks: []domain.TaskDefinition{{TaskID: "x"}}}); err != nil {
					t.Error(err)
				}
				if i%10 != 9 {
					continue
				}
				// This writer's runs up to here are acknowledged.
				restored := filepath.Join(to, fmt.Sprint(w, i))
				if err := errors.Join(os.Mkdir(restored, 0o700), Snapshot(ctx, dir, filepath.Join(restored, databaseFile))); err != nil {
					t.Error(err)
					continue
				}
				state, err := CheckFile(ctx, filepath.Join(restored, databaseFile))
				if err != nil || len(state.SealedUnder) != 1 || state.SealedUnder[0] != keyset.Primary() || state.Database != state.Program {
					t.Errorf("checked %+v, %v", state, err)
				}
			}
		})
	}
	wg.Wait()
	for w := range writers {
		for i := 9; i < runs; i += 10 {
			path := filepath.Join(to, fmt.Sprint(w, i))
			if info, err := os.Stat(filepath.Join(path, databaseFile)); err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			copied := mustOpen(t, Config{Dir: path, Sealer: keyset})
			for j := range i + 1 {
				if _, err := copied.Run(as("a"), key(w, j)); err != nil {
					t.Errorf("run %v: %v", key(w, j), err)
				}
			}
			if got, err := copied.SecretVariables(as("a"), "a"); err != nil || got["v"] != "value" {
				t.Errorf("secrets %v, %v", got, err)
			}
		}
	}
}

func TestSnapshotRefuses(t *testing.T) {
	ctx, dir, empty := context.Background(), t.TempDir(), t.TempDir()
	mustOpen(t, Config{Dir: dir})
	to := filepath.Join(t.TempDir(), "to")
	if err := Snapshot(ctx, empty, to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no database: %v", err)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("made: %v, %v", left, err)
	}
	if err := os.WriteFile(to, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Snapshot(ctx, dir, to); err == nil {
		t.Error("a file is overwritten")
	}
	if text, err := os.ReadFile(to); err != nil || string(text) != "precious" {
		t.Errorf("left %q, %v", text, err)
	}
}

func TestCheckFileFindsDamage(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	for i := range 200 {
		if _, _, err := s.CreateRun(as("a"), domain.NewRun{RunKey: domain.RunKey{DagID: strings.Repeat("d", 200), RunID: fmt.Sprint(i)}, Tasks: []domain.TaskDefinition{{TaskID: "x"}}}); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "to")
	if err := Snapshot(ctx, dir, to); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), whole...)
	for i := len(damaged) / 4; i < len(damaged)*3/4; i++ {
		damaged[i] ^= 0x5a
	}
	for name, content := range map[string][]byte{
		"empty": {}, "text": []byte(strings.Repeat("no database ", 100)), "cut": whole[:len(whole)/2], "changed": damaged,
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := CheckFile(ctx, path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMigrateTellsTheVersions(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	if _, err := Migrate(ctx, dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no database: %v", err)
	}
	path := filepath.Join(dir, databaseFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := ReadVersions(ctx, dir); err != nil || v.Database != 0 || v.Program == 0 {
		t.Errorf("an empty one: %+v, %v", v, err)
	}
	if err := migrateFile(ctx, path, upTo(t, "20261124214951_initial.sql")); err != nil {
		t.Fatal(err)
	}
	old, err := ReadVersions(ctx, dir)
	if err != nil || old.Database != 20261124214951 || old.Program <= old.Database {
		t.Fatalf("before: %+v, %v", old, err)
	}
	if v, err := Migrate(ctx, dir); err != nil || v != old {
		t.Errorf("migrated %+v, %v", v, err)
	}
	now := Versions{old.Program, old.Program}
	for range 2 {
		if v, err := ReadVersions(ctx, dir); err != nil || v != now {
			t.Errorf("after: %+v, %v", v, err)
		}
		if v, err := Migrate(ctx, dir); err != nil || v != now {
			t.Errorf("again: %+v, %v", v, err)
		}
	}
	s := mustOpen(t, Config{Dir: dir})
	if _, err := Migrate(ctx, dir); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	if v, err := ReadVersions(ctx, dir); err != nil || v != now {
		t.Errorf("while it is open: %+v, %v", v, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := migrateFile(ctx, path, with(t, "CREATE TABLE more (id integer);")); err != nil {
		t.Fatal(err)
	}
	_, err = Migrate(ctx, dir)
	_, check := ReadVersions(ctx, dir)
	for _, err := range []error{err, check} {
		if !errors.Is(err, ErrNewerDatabase) || !strings.Contains(err.Error(), path) {
			t.Errorf("a newer one: %v", err)
		}
	}
	if err := migrateFile(ctx, path, migrations.SQLite()); !errors.Is(err, ErrNewerDatabase) {
		t.Errorf("a newer one: %v", err)
	}
}
