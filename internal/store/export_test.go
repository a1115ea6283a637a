package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
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

// places are where a store may keep its data, by their dialects: each returns an empty
// one, whose tables a test leaves as they are.
var places = map[string]func(testing.TB) Config{
	"sqlite":   func(t testing.TB) Config { return Config{Dir: t.TempDir()} },
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
		test(t, func(t testing.TB) Config { return Config{Dir: t.TempDir(), WritePath: Direct} })
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
