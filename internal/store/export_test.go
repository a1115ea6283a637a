package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"entgo.io/ent/dialect/sql/schema"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/migrate"
	"github.com/neochaotic/leoflow/internal/pgtest"
)

// WriterOf returns what a store writes with, for tests that plant faults.
func WriterOf(s *Store) *ent.Client { return s.writer }

// migrated is a database of PostgreSQL with all tables in it, for copies.
var migrated = pgtest.NewTemplate(func(ctx context.Context, dsn string) error {
	s, err := Open(ctx, Config{DSN: dsn})
	if err != nil {
		return err
	}
	return s.Close()
}, emptying())

// emptying deletes all rows, those that point to others first, and has keys begin at 1.
func emptying() string {
	var text strings.Builder
	done := map[string]bool{}
	var empty func(*schema.Table)
	empty = func(table *schema.Table) {
		if done[table.Name] {
			return
		}
		done[table.Name] = true
		for _, other := range migrate.Tables {
			if slices.ContainsFunc(other.ForeignKeys, func(k *schema.ForeignKey) bool { return k.RefTable == table }) {
				empty(other)
			}
		}
		fmt.Fprintf(&text, "DELETE FROM %[1]s; SELECT setval(pg_get_serial_sequence('%[1]s', 'id'), 1, false);", table.Name)
	}
	for _, table := range migrate.Tables {
		empty(table)
	}
	return text.String()
}

// Fresh is a directory with an SQLite file that has all tables, and nothing in them: to
// copy it takes less time than to make them.
func Fresh(t testing.TB) Config {
	t.Helper()
	file, err := migratedFile()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, databaseFile), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{Dir: dir}
}

// migratedFile is an SQLite file with all tables.
var migratedFile = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "leoflow-store-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil { // it leaves nothing beside the file
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, databaseFile))
})

// places are where a store may keep its data, by their dialects: each returns an empty
// one, whose tables a test leaves as they are.
var places = map[string]func(testing.TB) Config{
	"sqlite":   Fresh,
	"postgres": func(t testing.TB) Config { return Config{DSN: migrated.Shared(t)} },
}

// OnEach runs a test on every dialect. fresh returns an empty place for data.
func OnEach(t *testing.T, test func(t *testing.T, fresh func(testing.TB) Config)) {
	for _, name := range slices.Sorted(maps.Keys(places)) {
		t.Run(name, func(t *testing.T) { test(t, places[name]) })
	}
}

// OnEachWay runs a test on every dialect, and on SQLite also with each write by itself.
func OnEachWay(t *testing.T, test func(t *testing.T, fresh func(testing.TB) Config)) {
	OnEach(t, test)
	t.Run("sqlite direct", func(t *testing.T) {
		test(t, func(t testing.TB) Config { return Config{Dir: Fresh(t).Dir, WritePath: Direct} })
	})
}

// at returns the configuration with the place of another.
func (c Config) at(place Config) Config {
	c.Dir, c.DSN = place.Dir, place.DSN
	if c.WritePath == "" {
		c.WritePath = place.WritePath
	}
	return c
}

// alone are places whose tables a test may do anything to.
var alone = map[string]func(testing.TB) Config{
	"sqlite":   places["sqlite"],
	"postgres": func(t testing.TB) Config { return Config{DSN: migrated.Database(t)} },
}

// onEachAlone runs a test on every dialect, at a place of its own.
func onEachAlone(t *testing.T, test func(t *testing.T, place Config)) {
	for _, name := range slices.Sorted(maps.Keys(alone)) {
		t.Run(name, func(t *testing.T) { test(t, alone[name](t)) })
	}
}

// raw connects to the database at a place, past the store, with one connection.
func raw(t testing.TB, place Config) *sql.DB {
	t.Helper()
	driver, source := "pgx", place.DSN
	if place.DSN == "" {
		driver, source = driverName, dataSource(filepath.Join(place.Dir, databaseFile), "immediate")
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}
