package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
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
	if err := (Versions{current, target}).check(path); err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return checkForeignKeys(ctx, db)
}

// Versions are those of a database and of this program: the numbers of the last
// migration that was applied, 0 for none, and of the last one that there is.
type Versions struct{ Database, Program int64 }

// check refuses a database that is newer than the program. Its name is for people.
func (v Versions) check(name string) error {
	if v.Database > v.Program {
		return fmt.Errorf("%w: %s is at version %d, and this program knows %d: use the newer program, or another database",
			ErrNewerDatabase, name, v.Database, v.Program)
	}
	return nil
}

// readVersions reads the versions without writing anything.
func readVersions(ctx context.Context, db *sql.DB, of goose.Dialect, files fs.FS) (v Versions, err error) {
	provider, err := goose.NewProvider(of, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return v, fmt.Errorf("read the migrations: %w", err)
	}
	for _, source := range provider.ListSources() { // ascending
		v.Program = source.Version
	}
	var migrated bool
	// Where the table is missing, asking for the version would make it.
	err = db.QueryRowContext(ctx, hasVersions[of], goose.DefaultTablename).Scan(&migrated)
	if err == nil && migrated {
		v.Database, err = provider.GetDBVersion(ctx)
	}
	if err != nil {
		return v, fmt.Errorf("read the database's version: %w", err)
	}
	return v, nil
}

// hasVersions asks whether there is a table.
var hasVersions = map[goose.Dialect]string{
	goose.DialectSQLite3:  "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = ?",
	goose.DialectPostgres: "SELECT to_regclass($1) IS NOT NULL",
}

// migratePostgres brings the database up to the last of files. Of several servers that
// start at once one does it, under an advisory lock, which ends with its connection;
// where there is nothing to do, nobody waits.
func migratePostgres(ctx context.Context, cfg *pgx.ConnConfig, files fs.FS) (err error) {
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	if done, err := upToDate(ctx, db, cfg, files); err != nil || done {
		return err
	}
	holder, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("open the database %s: %w", placeOf(cfg), err)
	}
	defer func() { err = errors.Join(err, holder.Close()) }()
	if _, err := holder.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("lock the database's version: %w", err)
	}
	// Another one may have been here first, and be of a newer version.
	if done, err := upToDate(ctx, db, cfg, files); err != nil || done {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database %s: %w", placeOf(cfg), err)
	}
	return nil
}

// upToDate reports whether the database has all that files make, and no more.
func upToDate(ctx context.Context, db *sql.DB, cfg *pgx.ConnConfig, files fs.FS) (bool, error) {
	v, err := readVersions(ctx, db, goose.DialectPostgres, files)
	if err != nil {
		return false, fmt.Errorf("database %s: %w", placeOf(cfg), err)
	}
	return v.Database == v.Program, v.check(placeOf(cfg))
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
