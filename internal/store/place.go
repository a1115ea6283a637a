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
	other, remedy := placeFile, "name it with --database"
	if dsn != "" {
		other, remedy = databaseFile, "copy it with leoflow copy, or choose another data directory"
	}
	path := filepath.Join(dir, other)
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	case dsn != "":
		return fmt.Errorf("%w: it is the embedded one in %s: %s", ErrElsewhere, path, remedy)
	}
	text, err := os.ReadFile(path)
	return errors.Join(fmt.Errorf("%w: it is in PostgreSQL, as %s says (%.200s): %s", ErrElsewhere, path, text, remedy), err)
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
