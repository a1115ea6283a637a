package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// ErrNewerDatabase says that a newer version of the program has migrated the database.
var ErrNewerDatabase = errors.New("database is newer than this program")

// migrateFile brings the database at path up to the last of files.
//
// It runs on a connection of its own with foreign keys off: within a transaction
// SQLite ignores the pragma that turns them off, and rebuilding a table would then
// delete what points to it. Whether the keys still hold is checked at the end.
func migrateFile(ctx context.Context, path string, files fs.FS) (err error) {
	db, err := sql.Open(driverName, dataSource(path, "immediate", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(0)"))
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	if current > target {
		return fmt.Errorf("%w: %s is at version %d, and this program knows %d: use the newer program, or another data directory",
			ErrNewerDatabase, path, current, target)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return checkForeignKeys(ctx, db)
}

// checkForeignKeys fails where a row points to one that is not there.
func checkForeignKeys(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "PRAGMA foreign_key_check")
	if err != nil {
		return fmt.Errorf("check the foreign keys: %w", err)
	}
	defer rows.Close()
	if rows.Next() {
		return errors.New("check the foreign keys: a row points to one that is missing")
	}
	return rows.Err()
}
