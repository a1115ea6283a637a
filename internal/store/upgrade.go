package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/neochaotic/leoflow/internal/store/migrations"
)

// DatabaseFile is the name of the database in a data directory.
const DatabaseFile = databaseFile

// Migrate brings the database in the data directory dir up to this program's version,
// as [Open] does, and returns the versions that it found. It fails as Open does, and
// with fs.ErrNotExist where there is no database.
func Migrate(ctx context.Context, dir string) (before Versions, err error) {
	path, err := existing(dir)
	if err != nil {
		return Versions{}, err
	}
	lock, err := lockDir(dir, false)
	if err != nil {
		return Versions{}, err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if before, err = ReadVersions(ctx, dir); err != nil {
		return before, err
	}
	return before, migrateFile(ctx, path, migrations.SQLite())
}

// ReadVersions returns the versions of the database in the data directory dir, which
// another process may have open, and of this program. A database that is newer is
// [ErrNewerDatabase]; none is fs.ErrNotExist.
func ReadVersions(ctx context.Context, dir string) (v Versions, err error) {
	path, err := existing(dir)
	if err != nil {
		return v, err
	}
	db, err := openReading(path)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if v, err = readVersions(ctx, db, goose.DialectSQLite3, migrations.SQLite()); err != nil {
		return v, err
	}
	return v, v.check(path)
}

// MigratePostgres is [Migrate] for the PostgreSQL database that a DSN names, which
// other processes may have open.
func MigratePostgres(ctx context.Context, dsn string) (before Versions, err error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return before, err
	}
	if before, err = ReadPostgresVersions(ctx, dsn); err != nil {
		return before, err
	}
	return before, migratePostgres(ctx, cfg, migrations.Postgres())
}

// ReadPostgresVersions is [ReadVersions] for the PostgreSQL database that a DSN names.
func ReadPostgresVersions(ctx context.Context, dsn string) (v Versions, err error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return v, err
	}
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	if v, err = readVersions(ctx, db, goose.DialectPostgres, migrations.Postgres()); err != nil {
		return v, fmt.Errorf("database %s: %w", placeOf(cfg), err)
	}
	return v, v.check(placeOf(cfg))
}

// existing returns the path of the database in dir, which must be there: to open one
// would make it. Where dir's is in PostgreSQL, it is [ErrElsewhere].
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	if err := checkPlace(dir, ""); err != nil {
		return "", err
	}
	path := filepath.Join(dir, databaseFile)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("open the database: %w", err)
	}
	return path, nil
}

// openReading opens a file on one connection that writes nothing.
func openReading(path string) (*sql.DB, error) {
	db, err := sql.Open(driverName, dataSource(path, "deferred", readerPragmas...))
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}
