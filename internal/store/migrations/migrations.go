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

//go:embed sqlite/*.sql postgres/*.sql
var files embed.FS

// SQLite returns the migrations for SQLite.
func SQLite() fs.FS { return folder("sqlite") }

// Postgres returns the migrations for PostgreSQL.
func Postgres() fs.FS { return folder("postgres") }

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // the name is a constant, and valid
	}
	return sub
}
