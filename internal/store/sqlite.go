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
	"modernc.org/sqlite" // the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

const (
	databaseFile = "leoflow.db"
	driverName   = "sqlite"
	busyTimeout  = 5 * time.Second
)

// openSQLite opens the database in the data directory: one connection writes, so that
// writes follow each other, and others read.
func (s *Store) openSQLite(ctx context.Context, dir string) (err error) {
	path := filepath.Join(dir, databaseFile)
	if err := prepareFile(path); err != nil {
		return err
	}
	if err := migrateFile(ctx, path, migrations.SQLite()); err != nil {
		return err
	}
	turns := make(turns, 1)
	writer, err := connect(ctx, path, "immediate", 1, writerPragmas...)
	if err != nil {
		return err
	}
	s.writer = ent.NewClient(ent.Driver(turnDriver{entsql.OpenDB(dialect.SQLite, writer), turns}))
	s.conns = max(4, runtime.NumCPU())
	reader, err := connect(ctx, path, "deferred", s.conns, readerPragmas...)
	if err != nil {
		return err
	}
	s.reader = ent.NewClient(ent.Driver(entsql.OpenDB(dialect.SQLite, reader)))
	if s.path == Direct {
		return nil
	}
	fetching, err := connect(ctx, path, "deferred", 1, readerPragmas...) // several were slower
	if err != nil {
		return err
	}
	hasty, err := connect(ctx, path, "immediate", 1, hastyPragmas...)
	if err != nil {
		return errors.Join(err, fetching.Close())
	}
	durable, err := connect(ctx, path, "immediate", 1, writerPragmas...)
	if err != nil {
		return errors.Join(err, hasty.Close(), fetching.Close())
	}
	s.openGathering(&gathering{db: durable, turns: turns}, &gathering{db: hasty, turns: turns}, &gathering{db: fetching})
	return nil
}

var (
	writerPragmas = []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "wal_autocheckpoint(8000)"}
	// A commit of a hasty one survives the process, and the machine once the next commit
	// of the writer has reached the disk.
	hastyPragmas  = []string{"synchronous(NORMAL)", "foreign_keys(1)", "wal_autocheckpoint(8000)"}
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

func connect(ctx context.Context, path, txlock string, conns int, pragmas ...string) (*sql.DB, error) {
	db, err := sql.Open(driverName, dataSource(path, txlock, pragmas...))
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), db.Close())
	}
	return db, nil
}

// curableSQLite reports whether an error is of the machine, which may recover.
func curableSQLite(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff { // the primary code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT,
		sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM:
		return true
	}
	return false
}
