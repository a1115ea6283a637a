package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	atlas "ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/sqltool"
	"go.uber.org/goleak"

	"github.com/neochaotic/leoflow/ent/migrate"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

func mustOpen(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// openOnce has a store make what is missing.
func openOnce(t *testing.T, cfg Config) {
	t.Helper()
	if err := mustOpen(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenKeepsOthersOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by open")
	s := mustOpen(t, Config{Dir: dir})
	if err := s.PutVariable(domain.WithTenant(context.Background(), "t"), "somebody", "k", "v"); !errors.Is(err, domain.ErrUnavailable) {
		t.Fatalf("without a sealer: %v", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("directory: %v, %v", info.Mode(), err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenInADirectoryOfAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a?b#c%41 ä&_pragma=x;:")
	mustOpen(t, Config{Dir: dir})
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenNeedsADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file} {
		if s, err := Open(context.Background(), Config{Dir: dir}); err == nil {
			t.Errorf("%q opens: %v", dir, s.Close())
		}
	}
}

func TestOpenTwiceInOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	_, err := Open(context.Background(), Config{Dir: dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Config{Dir: dir})
}

// helperDir tells a copy of the test binary to open the store there.
const helperDir = "LEOFLOW_TEST_OPEN_DIR"

func TestMain(m *testing.M) {
	if path := os.Getenv(migrateHelper); path != "" {
		fmt.Println(migrateAndDie(path, os.Getenv(migrateFiles)))
		os.Exit(3)
	}
	dir := os.Getenv(helperDir)
	if dir == "" {
		hasten()
		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
			if err := migrated.Drop(); err != nil {
				fmt.Println(err)
				code = max(code, 1)
			}
			os.Exit(code)
		}))
		return
	}
	s, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		fmt.Print(err)
		os.Exit(3)
	}
	if s.Close() != nil {
		os.Exit(4)
	}
}

func TestOpenInASecondProcess(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	open := func() (string, error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), helperDir+"="+dir)
		out, err := cmd.Output()
		return string(out), err
	}
	if out, err := open(); err == nil || !strings.Contains(out, dir) || !strings.Contains(out, ErrLocked.Error()) {
		t.Fatalf("second process: %q, %v", out, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := open(); err != nil {
		t.Fatalf("after the close: %q, %v", out, err)
	}
}

func TestMigrationsMakeTheSchema(t *testing.T) { OnEach(t, testMigrationsMakeTheSchema) }

func testMigrationsMakeTheSchema(t *testing.T, fresh func(testing.TB) Config) {
	s := mustOpen(t, fresh(t))
	var missing bytes.Buffer
	err := s.writer.Schema.WriteTo(context.Background(), &missing, migrate.WithDropColumn(true), migrate.WithDropIndex(true))
	if err != nil {
		t.Fatal(err)
	}
	if statements := strings.TrimSpace(missing.String()); statements != "" {
		t.Fatalf("run `go run ./internal/store/migrate/gen NAME`; missing is:\n%s", statements)
	}
}

func TestMigrationFilesAreAsReleased(t *testing.T) {
	for folder, released := range map[string]fs.FS{"sqlite": migrations.SQLite(), "postgres": migrations.Postgres()} {
		dir, err := sqltool.NewGooseDir(filepath.Join("migrations", folder))
		if err != nil {
			t.Fatal(err)
		}
		if err := atlas.Validate(dir); err != nil {
			t.Fatal(err)
		}
		files, err := fs.Glob(released, "*.sql")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, file := range files {
			text, err := fs.ReadFile(released, file)
			if err != nil {
				t.Fatal(err)
			}
			for _, never := range []string{"+goose Down", "NO TRANSACTION"} {
				if bytes.Contains(text, []byte(never)) {
					t.Errorf("%s/%s has %q", folder, file, never)
				}
			}
		}
	}
}

// with returns the real migrations and one more.
func with(t *testing.T, text string) fs.FS {
	t.Helper()
	files, err := fs.Glob(migrations.SQLite(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	all := fstest.MapFS{"99990101000000_more.sql": {Data: []byte("-- +goose Up\n" + text)}}
	for _, file := range files {
		data, err := fs.ReadFile(migrations.SQLite(), file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = &fstest.MapFile{Data: data}
	}
	return all
}

func TestOpenRefusesANewerDatabase(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, databaseFile)
	if err := migrateFile(context.Background(), path, with(t, "CREATE TABLE more (id integer);")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), Config{Dir: dir})
	if !errors.Is(err, ErrNewerDatabase) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "use the newer program") {
		t.Fatalf("error = %v", err)
	}
}

// TestMigrationRebuildKeepsChildren rebuilds a table as generated migrations do,
// while other tables point to it.
func TestMigrationRebuildKeepsChildren(t *testing.T) {
	ctx := domain.WithTenant(context.Background(), "t")
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	key := domain.RunKey{DagID: "d", RunID: "r"}
	if _, _, err := s.CreateRun(ctx, domain.NewRun{RunKey: key, Tasks: []domain.TaskDefinition{{TaskID: "x"}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, databaseFile)
	rebuild := "PRAGMA foreign_keys = off;\n" +
		"CREATE TABLE `new_runs` " + columnsOf(t, path, "runs") + ";\n" +
		"INSERT INTO `new_runs` SELECT * FROM `runs`;\n" +
		"DROP TABLE `runs`;\n" +
		"ALTER TABLE `new_runs` RENAME TO `runs`;\n" +
		"PRAGMA foreign_keys = on;\n"
	if err := migrateFile(ctx, path, with(t, rebuild)); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driverName, dataSource(path, "deferred"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	for _, table := range []string{"runs", "task_instances"} {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != 1 {
			t.Errorf("%s has %d rows, %v", table, n, err)
		}
	}
}

// columnsOf returns what stands behind the name of a table in the statement that
// creates it.
func columnsOf(t *testing.T, path, table string) string {
	t.Helper()
	db, err := sql.Open(driverName, dataSource(path, "deferred"))
	if err != nil {
		t.Fatal(err)
	}
	var text string
	err = db.QueryRow("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table).Scan(&text)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return text[strings.Index(text, "("):]
}

func TestMigrationThatOrphansIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, databaseFile)
	orphan := "INSERT INTO task_instances (tenant, instance_id, dag_id, run_id, task_id, position, state, spec, timeout_seconds, run_pk) VALUES ('t','i','d','r','x',0,'none','',0,42);"
	if err := migrateFile(context.Background(), path, with(t, orphan)); err == nil || !strings.Contains(err.Error(), "a row points to one that is missing") {
		t.Fatalf("a row that points to nothing: %v", err)
	}
}
