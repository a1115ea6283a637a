package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/neochaotic/leoflow/ent/runtime" // policies, hooks and interceptors
)

// Open opens the store that cfg names, makes what is missing, and migrates it. It
// fails where another open store, of this process or another, has the directory and
// does not share it, where
// a newer version of the program has migrated the database, or where the directory's
// database is another than cfg says.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	cfg = cfg.withDefaults()
	if cfg.WritePath != Batched && cfg.WritePath != Direct {
		return nil, fmt.Errorf("write path %q is neither %s nor %s", cfg.WritePath, Batched, Direct)
	}
	if cfg.SharedDir && cfg.DSN == "" {
		return nil, errors.New("an embedded database cannot be shared: name one of PostgreSQL")
	}
	s := &Store{
		clock: cfg.Clock, logger: cfg.Logger, sealer: cfg.Sealer,
		newID: cfg.NewID, watches: newWatches(), specs: newSpecs(maxSpecBytes-maxLaunchedBytes, maxLaunchedBytes), counts: newCounts(maxCounts), path: cfg.WritePath,
		patience: patience,
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	dir := cfg.Dir
	if dir != "" || cfg.DSN == "" {
		if dir, err = s.takeDir(dir, cfg.SharedDir); err != nil {
			return nil, err
		}
		if err := checkPlace(dir, cfg.DSN); err != nil {
			return nil, err
		}
	}
	if cfg.DSN == "" {
		err = s.openSQLite(ctx, dir)
	} else {
		err = s.openPostgres(ctx, dir, cfg.DSN)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// takeDir makes the data directory and takes its lock.
func (s *Store) takeDir(name string, shared bool) (dir string, err error) {
	dir, err = filepath.Abs(name)
	if err != nil || name == "" {
		return "", fmt.Errorf("data directory %q is no directory", name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the data directory: %w", err)
	}
	s.lock, err = lockDir(dir, shared)
	return dir, err
}

// Close waits for the calls under way, closes the files and gives the directory
// free. Whoever waits on a channel of RunChanged is woken. Calls that come later
// return domain.ErrUnavailable.
func (s *Store) Close() error {
	s.watches.close()
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	errs := []error{s.closeGathering()}
	if s.wakes != nil {
		errs = append(errs, s.wakes.close())
	}
	if s.reader != nil && s.reader != s.writer {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil { // the last on SQLite: it checkpoints
		errs = append(errs, s.writer.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}
