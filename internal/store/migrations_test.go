package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

// upTo returns the migrations from the first to the one of that name.
func upTo(t *testing.T, last string) fs.FS {
	t.Helper()
	files, err := fs.Glob(migrations.SQLite(), "*.sql") // in order
	if err != nil {
		t.Fatal(err)
	}
	some := fstest.MapFS{}
	for _, file := range files {
		if file > last {
			break
		}
		data, err := fs.ReadFile(migrations.SQLite(), file)
		if err != nil {
			t.Fatal(err)
		}
		some[file] = &fstest.MapFile{Data: data}
	}
	return some
}

// TestMigrationKeepsAuditEvents opens a database of the first release, with events.
func TestMigrationKeepsAuditEvents(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, databaseFile)
	if err := migrateFile(context.Background(), path, upTo(t, "20261124214951_initial.sql")); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driverName, dataSource(path, "immediate"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(`INSERT INTO audit_events (tenant, at, action, instance_id, dag_id, run_id, task_id, try, names)
		VALUES ('a', 1000000, 'variables.delivered', 'ti', 'd', 'r', 'x', 3, '["v"]')`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, Config{Dir: dir})
	got, err := s.ListAuditEvents(as("a"), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]domain.AuditEvent{{
		Seq: 1, At: instant(1_000_000), Action: domain.AuditVariablesDelivered, Names: []string{"v"},
		Attempt: domain.AttemptRef{TaskInstanceID: "ti", TenantID: "a", DagID: "d", RunID: "r", TaskID: "x", TryNumber: 3},
	}}, got); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
}
