package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// placeFile is in a data directory whose database is elsewhere, and says where to people.
const placeFile = "postgres"

// ErrElsewhere says that the database which belongs to a data directory is not the one
// that was named.
var ErrElsewhere = errors.New("database of the data directory is another")

// checkPlace refuses to begin a second database for a data directory: keys in it have
// sealed what is in the first.
func checkPlace(dir, dsn string) error {
	if dsn != "" {
		path := filepath.Join(dir, databaseFile)
		if there, err := exists(path); err != nil || !there {
			return err
		}
		return fmt.Errorf("%w: it is the embedded one in %s: move it with leoflow copy, or choose another data directory", ErrElsewhere, path)
	}
	path := filepath.Join(dir, placeFile)
	if there, err := exists(path); err != nil || !there {
		return err
	}
	place, err := os.ReadFile(path)
	return errors.Join(fmt.Errorf("%w: it is in PostgreSQL, as %s says (%.200s): "+
		"give its URL as --database to leoflow serve, migrate or secrets; for a backup of it use pg_dump", ErrElsewhere, path, place), err)
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// markPlace notes in a data directory that its database is elsewhere.
func markPlace(dir, place string) error {
	path := filepath.Join(dir, placeFile)
	if text, err := os.ReadFile(path); err == nil && string(text) == place {
		return nil
	}
	if err := os.WriteFile(path, []byte(place), 0o600); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
