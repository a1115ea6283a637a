package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/keyfile"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/store"
)

// Restore makes a data directory of the backup in the file from: at dir, which must be
// absent or empty. It appears there whole, checked and on disk, or not at all. A
// database that is newer than the program is store.ErrNewerDatabase.
func Restore(ctx context.Context, from, dir string) (sum Summary, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return sum, fmt.Errorf("data directory: %w", err)
	}
	if err := checkFree(dir); err != nil {
		return sum, err
	}
	if target, err := filepath.EvalSymlinks(dir); err == nil { // it is the directory that is replaced, not a link to it
		dir = target
	}
	f, err := os.Open(from)
	if err != nil {
		return sum, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return sum, err
	}
	stage, err := os.MkdirTemp(filepath.Dir(dir), ".leoflow-restore-*") // mode 0700
	if err != nil {
		return sum, fmt.Errorf("write beside %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	root, err := os.OpenRoot(stage)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	m, logFiles, err := unpack(ctx, f, root)
	if err != nil {
		return sum, err
	}
	sum = Summary{At: m.At, LogFiles: logFiles, Keys: m.Keys}
	if err := check(ctx, stage, &sum); err != nil {
		return sum, err
	}
	if err := syncTree(stage); err != nil {
		return sum, err
	}
	return sum, put(stage, dir)
}

// checkFree refuses a directory that holds something.
func checkFree(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case len(entries) > 0:
		return notEmpty(dir)
	}
	return nil
}

func notEmpty(dir string) error {
	return fmt.Errorf("%w: %s is not empty: give a directory that is, or that is not there yet", ErrRefused, dir)
}

// check reads what was unpacked as a server would.
func check(ctx context.Context, dir string, sum *Summary) error {
	state, err := store.CheckFile(ctx, filepath.Join(dir, store.DatabaseFile))
	if err != nil {
		return fmt.Errorf("%w: the backup is damaged: %w", ErrRefused, err)
	}
	sum.Database = state.Database
	if state.Database > state.Program {
		return fmt.Errorf("%w: that of the backup is at version %d, and this program knows %d: restore it with the newer program",
			store.ErrNewerDatabase, state.Database, state.Program)
	}
	if !sum.Keys {
		return nil
	}
	if _, err := auth.LoadKeys(filepath.Join(dir, server.KeyFile)); err != nil {
		return fmt.Errorf("%w: the backup is damaged: %w", ErrRefused, err)
	}
	keyset, err := keyfile.Load(filepath.Join(dir, server.SecretsFile))
	if err == nil {
		sum.LostKeys, err = lostKeys(server.SecretsFile, keyset, state.SealedUnder)
	}
	if err != nil {
		return fmt.Errorf("%w: the backup is damaged: %w", ErrRefused, err)
	}
	return nil
}

// syncTree makes the directories durable; the files are.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncDir(at)
	})
}

// put gives a whole directory its name, in place of an empty one.
func put(stage, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		if err := checkFree(dir); err != nil {
			return err
		}
		return fmt.Errorf("replace the empty directory: %w; give a directory inside of it", err)
	}
	if err := os.Rename(stage, dir); err != nil {
		if taken := checkFree(dir); taken != nil {
			return taken
		}
		return err
	}
	return syncDir(filepath.Dir(dir))
}
