// Package migrations embeds the versioned migrations, one directory a dialect.
// `go run ./internal/store/migrate/gen NAME` writes them; a file that was released
// is never changed again.
//
// It may import the standard library only.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed sqlite/*.sql
var files embed.FS

// SQLite returns the migrations for SQLite.
func SQLite() fs.FS {
	sub, err := fs.Sub(files, "sqlite")
	if err != nil {
		panic(err) // the name is a constant, and valid
	}
	return sub
}
