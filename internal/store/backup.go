package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

// ErrDamaged says that a file is no database of this program, or is damaged.
var ErrDamaged = errors.New("database is damaged")

// FileState is what [CheckFile] finds in a database file.
type FileState struct {
	Versions
	// SealedUnder holds the keys that secrets of any tenant are sealed under, each once.
	SealedUnder []secrets.KeyID
}

// Snapshot writes the database in the data directory dir, as it is at one moment, into
// the file at to, mode 0600, which must be missing or empty. Another process may have
// the database open, and goes on writing meanwhile: everything committed before the
// call is in it. Where there is no database, it is fs.ErrNotExist.
func Snapshot(ctx context.Context, dir, to string) (err error) {
	path, err := existing(dir)
	if err != nil {
		return err
	}
	if err := prepareFile(to); err != nil {
		return err
	}
	// Where nothing may be written, SQLite copies nothing either.
	db, err := sql.Open(driverName, dataSource(path, "deferred"))
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return nil
}

// CheckFile reads the whole database file at path, which nobody else has open, and
// returns what is in it. Where something does not hold together it is [ErrDamaged].
// The file may be of another version of the program, newer ones included.
func CheckFile(ctx context.Context, path string) (state FileState, err error) {
	db, err := openReading(path)
	if err != nil {
		return state, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := checkIntegrity(ctx, db); err != nil {
		return state, err
	}
	if state.Versions, err = readVersions(ctx, db, goose.DialectSQLite3, migrations.SQLite()); err != nil {
		return state, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if state.Database == 0 {
		return state, fmt.Errorf("%w: it was never migrated", ErrDamaged)
	}
	state.SealedUnder, err = sealedUnder(ctx, db)
	return state, err
}

func checkIntegrity(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, verdict)
	}
	if err := checkForeignKeys(ctx, db); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// sealedUnder lists keys of every tenant's secrets, and nothing else of them.
func sealedUnder(ctx context.Context, db *sql.DB) ([]secrets.KeyID, error) {
	rows, err := db.QueryContext(ctx, "SELECT substr(sealed, 1, 5) FROM variables UNION SELECT substr(sealed, 1, 5) FROM connections")
	if err != nil {
		return nil, fmt.Errorf("read what secrets are sealed under: %w", err)
	}
	defer rows.Close()
	var keys []secrets.KeyID
	for rows.Next() {
		var prefix []byte
		if err := rows.Scan(&prefix); err != nil {
			return nil, fmt.Errorf("read what a secret is sealed under: %w", err)
		}
		key, ok := secrets.SealedUnder(prefix)
		if !ok {
			return nil, fmt.Errorf("%w: a secret is not sealed", ErrDamaged)
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}
