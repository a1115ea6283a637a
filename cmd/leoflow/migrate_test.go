package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/neochaotic/leoflow/internal/store/migrations"
)

// firstRelease makes a data directory as it was after the first migration, and returns
// that one's version and the last one's.
func firstRelease(t *testing.T) (data string, first, last int64) {
	t.Helper()
	files, err := fs.Glob(migrations.SQLite(), "*.sql") // in order
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	text, err := fs.ReadFile(migrations.SQLite(), files[0])
	if err != nil {
		t.Fatal(err)
	}
	data = filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	inDatabase(t, data, func(db *sql.DB) error {
		provider, err := goose.NewProvider(goose.DialectSQLite3, db, fstest.MapFS{files[0]: {Data: text}}, goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return err
		}
		_, err = provider.Up(t.Context())
		return err
	})
	_, err = fmt.Sscanf(files[0]+" "+files[len(files)-1], "%d_%s %d_", &first, new(string), &last)
	if err != nil {
		t.Fatal(err)
	}
	return data, first, last
}

// inDatabase works on a database that no server has.
func inDatabase(t *testing.T, data string, do func(*sql.DB) error) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, "leoflow.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateTellsWhatItDid(t *testing.T) {
	data, first, last := firstRelease(t)
	check := leoflow(t, "migrate", "--data-dir", data, "--check")
	check.wantCode(t, exitFailed)
	check.wantIn(t, fmt.Sprintf("at version %d, this program's is %d", first, last))
	again := leoflow(t, "migrate", "--data-dir", data, "--check", "-o", "json")
	again.wantCode(t, exitFailed)
	if doc := parse(t, again.out); doc["done"] != false || doc["from_version"] != float64(first) || doc["to_version"] != float64(last) {
		t.Errorf("told %v", doc)
	}
	done := leoflow(t, "migrate", "--data-dir", data)
	done.wantCode(t, exitOK)
	done.wantIn(t, fmt.Sprintf("from version %d to version %d", first, last))
	for _, more := range [][]string{nil, {"--check"}} {
		got := leoflow(t, append([]string{"migrate", "--data-dir", data}, more...)...)
		got.wantCode(t, exitOK)
		got.wantIn(t, fmt.Sprintf("at version %d: there is nothing to do", last))
	}
}

func TestMigrateRefusesWhatItCannotHave(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	none := leoflow(t, "migrate", "--data-dir", data)
	none.wantCode(t, exitBadInput)
	none.wantOneLine(t, "--data-dir "+data, "no database", "give the data directory")
	serve, _, _ := startServe(t, data)
	busy := leoflow(t, "migrate", "--data-dir", data)
	busy.wantCode(t, exitFailed)
	busy.wantOneLine(t, data, "in use by another process", "stop that process")
	leoflow(t, "migrate", "--data-dir", data, "--check").wantIn(t, "there is nothing to do")
	serve.signal(syscall.SIGTERM)
	serve.end().wantCode(t, exitOK)
	inDatabase(t, data, func(db *sql.DB) error {
		_, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99990101000000, true)")
		return err
	})
	for _, args := range [][]string{{"migrate"}, {"migrate", "--check"}, {"serve", "--addr", "127.0.0.1:0"}, {"secrets", "retire"}} {
		got := leoflow(t, append(args, "--data-dir", data)...)
		got.wantCode(t, exitFailed)
		got.wantOneLine(t, "newer than this program", "use the newer program")
	}
}
