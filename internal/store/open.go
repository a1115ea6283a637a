package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/neochaotic/leoflow/ent"
	_ "github.com/neochaotic/leoflow/ent/runtime" // policies, hooks and interceptors
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

const (
	databaseFile = "leoflow.db"
	driverName   = "sqlite"
	busyTimeout  = 5 * time.Second
)

// Open opens the store in cfg.Dir, makes what is missing, and migrates it. It
// fails where another open store, of this process or another, has the directory,
// or where a newer version of the program has migrated it.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	cfg = cfg.withDefaults()
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil || cfg.Dir == "" {
		return nil, fmt.Errorf("data directory %q is no directory", cfg.Dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		lock: lock, clock: cfg.Clock, logger: cfg.Logger, sealer: cfg.Sealer,
		newID: cfg.NewID, watches: newWatches(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	path := filepath.Join(dir, databaseFile)
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	if err := migrateFile(ctx, path, migrations.SQLite()); err != nil {
		return nil, err
	}
	if s.writer, err = connect(ctx, path, "immediate", 1, writerPragmas...); err != nil {
		return nil, err
	}
	s.reader, err = connect(ctx, path, "deferred", max(4, runtime.NumCPU()), readerPragmas...)
	if err != nil {
		return nil, err
	}
	return s, nil
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
	var errs []error
	for _, client := range []*ent.Client{s.reader, s.writer} { // the writer last: it checkpoints
		if client != nil {
			errs = append(errs, client.Close())
		}
	}
	return errors.Join(append(errs, s.lock.release())...)
}

var (
	writerPragmas = []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}
	readerPragmas = []string{"query_only(1)"}
)

// prepareFile makes the database file, readable by its owner alone; SQLite gives
// the files beside it the same mode.
func prepareFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// dataSource returns the driver's name for the file at path, whatever characters
// are in it. A relative path would be read as the name of a host.
func dataSource(path, txlock string, pragmas ...string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	query := url.Values{"_txlock": {txlock}}
	query.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	for _, p := range pragmas {
		query.Add("_pragma", p)
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

func connect(ctx context.Context, path, txlock string, conns int, pragmas ...string) (*ent.Client, error) {
	db, err := sql.Open(driverName, dataSource(path, txlock, pragmas...))
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), db.Close())
	}
	return ent.NewClient(ent.Driver(entsql.OpenDB(dialect.SQLite, db))), nil
}
