package store

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/pgtest"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

// withPostgres returns the real migrations for PostgreSQL and more.
func withPostgres(t *testing.T, more map[string]string) fs.FS {
	t.Helper()
	files, err := fs.Glob(migrations.Postgres(), "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	all := fstest.MapFS{}
	for _, file := range files {
		data, err := fs.ReadFile(migrations.Postgres(), file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = &fstest.MapFile{Data: data}
	}
	for file, text := range more {
		all[file] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)}
	}
	return all
}

func configOf(t *testing.T, dsn string) *pgx.ConnConfig {
	t.Helper()
	cfg, err := parseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestServersThatStartAtOnceMigrateOnce has a migration that fails where it is applied
// for the second time, or where two are at it.
func TestServersThatStartAtOnceMigrateOnce(t *testing.T) {
	dsn := pgtest.Database(t)
	files := withPostgres(t, map[string]string{
		"99990101000000_once.sql": "CREATE TABLE once AS SELECT 1 AS one;\nALTER TABLE once ADD COLUMN more int;\n",
	})
	const servers = 5
	errs := make([]error, servers)
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() { errs[i] = migratePostgres(context.Background(), configOf(t, dsn), files) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := raw(t, Config{DSN: dsn}).QueryRow("SELECT count(*) FROM once").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestStoresThatOpenAtOnceAreOne(t *testing.T) {
	dsn := pgtest.Database(t)
	stores := make([]*Store, 3)
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			s, err := Open(context.Background(), Config{DSN: dsn})
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	key := domain.RunKey{DagID: "d", RunID: "r"}
	if _, _, err := stores[0].CreateRun(as("a"), domain.NewRun{RunKey: key, Tasks: []domain.TaskDefinition{{TaskID: "x"}}}); err != nil {
		t.Error(err)
	}
	for _, s := range stores {
		if _, err := s.Run(as("a"), key); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefusesANewerPostgres(t *testing.T) {
	dsn := pgtest.Database(t)
	newer := withPostgres(t, map[string]string{"99990101000000_more.sql": "CREATE TABLE more (id int);"})
	if err := migratePostgres(t.Context(), configOf(t, dsn), newer); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Config{DSN: dsn})
	if !errors.Is(err, ErrNewerDatabase) || !strings.Contains(err.Error(), configOf(t, dsn).Database) || !strings.Contains(err.Error(), "use the newer program") {
		t.Fatalf("error = %v", err)
	}
}

// TestAFailedMigrationLeavesNothing breaks off in the middle, and goes on with a better one.
func TestAFailedMigrationLeavesNothing(t *testing.T) {
	cfg := configOf(t, pgtest.Database(t))
	for _, c := range []struct {
		text  string
		fails bool
	}{{"CREATE TABLE more (id int);\nSELECT 1/0;\n", true}, {"CREATE TABLE more (id int);\n", false}} {
		err := migratePostgres(t.Context(), cfg, withPostgres(t, map[string]string{"99990101000000_more.sql": c.text}))
		if (err != nil) != c.fails {
			t.Fatalf("%s: %v", c.text, err)
		}
	}
}

// TestNamesSortByTheirBytes holds of a database that sorts as people do.
func TestNamesSortByTheirBytes(t *testing.T) {
	db := raw(t, places["postgres"](t))
	var people, bytes bool
	if err := db.QueryRow(`SELECT 'a' < 'B', 'a' COLLATE "C" < 'B'`).Scan(&people, &bytes); err != nil || bytes {
		t.Fatal(bytes, err)
	}
	if !people {
		t.Log("this server sorts by bytes anyway: the contract suite shows less")
	}
	rows, err := db.Query(`SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND collation_name IS NULL AND data_type = 'character varying'
		AND column_name IN ('tenant', 'name', 'dag_id', 'run_id', 'task_id', 'key', 'instance_id') AND table_name <> 'audit_events'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s sorts by the database's language", column)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestBadDSNs(t *testing.T) {
	for dsn, want := range map[string]string{
		"leoflow.db":                                       "not a URL",
		"host=h password=hunter2":                          "not a URL",
		"mysql://u:hunter2@h/d":                            "not a URL",
		"postgres://u:hunt/er2@h/d":                        "not a URL",
		"postgres://u:hunter2@h:port/d":                    "not a URL",
		"postgres://u:hunter2@h/d?sslmode=odd":             "sslmode",
		"postgres://u@h/d?sslmode=odd&password=hunter2":    "sslmode",
		"postgres://u:hunter2@h/d?sslrootcert=/no/hunter2": "CA",
	} {
		err := CheckDSN(dsn)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunt") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", dsn, err)
		}
		_, err = Open(t.Context(), Config{DSN: dsn})
		if err == nil || strings.Contains(err.Error(), "hunt") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	if err := CheckDSN("postgres://u:hunter2@127.0.0.1:1/d"); err != nil {
		t.Error(err)
	}
}

// TestNoPasswordInErrors connects to where nobody is, and to who refuses.
func TestNoPasswordInErrors(t *testing.T) {
	u, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody there", "hunter2")
	for _, dsn := range []string{"postgres://u:hunter2@127.0.0.1:1/d?connect_timeout=1", u.String()} {
		_, err := Open(t.Context(), Config{DSN: dsn})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error = %v", err)
		}
	}
}

func TestADataDirectoryHasOneDatabase(t *testing.T) {
	dsn, dir := places["postgres"](t).DSN, t.TempDir()
	s := mustOpen(t, Config{Dir: dir, DSN: dsn})
	if _, err := Open(t.Context(), Config{Dir: dir, DSN: dsn}); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openOnce(t, Config{Dir: dir, DSN: dsn})
	_, opened := Open(t.Context(), Config{Dir: dir})
	_, migrated := Migrate(t.Context(), dir)
	copied := Snapshot(t.Context(), dir, filepath.Join(t.TempDir(), "to"))
	for _, err := range []error{opened, migrated, copied} {
		if !errors.Is(err, ErrElsewhere) || !strings.Contains(err.Error(), "--database") || !strings.Contains(err.Error(), configOf(t, dsn).Database) {
			t.Errorf("without the DSN: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an embedded database was made: %v", err)
	}
	embedded := t.TempDir()
	openOnce(t, Config{Dir: embedded})
	if _, err := Open(t.Context(), Config{Dir: embedded, DSN: dsn}); !errors.Is(err, ErrElsewhere) || !strings.Contains(err.Error(), "leoflow copy") {
		t.Errorf("beside an embedded one: %v", err)
	}
}
