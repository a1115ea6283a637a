package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestMigrationKeepsRunsAndAttempts opens a database from before there were idempotency
// keys, with a run under way: its two tables are rebuilt while others point to them.
func TestMigrationKeepsRunsAndAttempts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, databaseFile)
	if err := migrateFile(context.Background(), path, upTo(t, "20261124224210_audit_actor_and_lists.sql")); err != nil {
		t.Fatal(err)
	}
	run := domain.NewRun{
		RunKey: domain.RunKey{DagID: "d", RunID: "r"}, DagVersion: "1",
		Tasks: []domain.TaskDefinition{{TaskID: "x", Spec: domain.TaskSpec{Operator: "bash", Entrypoint: "true"}}},
	}
	sum, err := digest(run)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := encodeSpec(run.Tasks[0].Spec)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driverName, dataSource(path, "immediate"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(`INSERT INTO runs (id, tenant, dag_id, run_id, dag_version, digest, revision, created_at) VALUES (7, 'a', 'd', 'r', '1', ?, 3, 1000000);
		INSERT INTO task_instances (id, tenant, instance_id, dag_id, run_id, task_id, position, state, current_try, spec, timeout_seconds, run_pk)
			VALUES (5, 'a', 'ti', 'd', 'r', 'x', 0, 'running', 1, ?, 0, 7);
		INSERT INTO attempts (id, tenant, run_pk, instance_id, dag_id, run_id, task_id, try, timeout_seconds, state, message, queued_at, started_at, heartbeat_at, cancel_requested_at, cancel_stop_by, agent_version, hostname, fence, task_pk)
			VALUES (9, 'a', 7, 'ti', 'd', 'r', 'x', 1, 0, 'running', 'm', 2000000, 3000000, 4000000, 5000000, 6000000, 'v', 'h', 2, 5);
		INSERT INTO task_changes (tenant, revision, task_id, try, state, exit_code, message, at, run_pk) VALUES ('a', 3, 'x', 1, 'running', 0, '', 3000000, 7)`,
		sum, spec)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, Config{Dir: dir})
	again, created, err := s.CreateRun(as("a"), run) // as a client makes its call again
	if err != nil || created || len(again.Tasks) != 1 || again.Tasks[0].State != domain.TaskStateRunning {
		t.Errorf("run %+v, created %v, %v", again, created, err)
	}
	key := domain.TaskKey{RunKey: run.RunKey, TaskID: "x"}
	got, err := s.Attempt(as("a"), key, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := domain.Attempt{
		Ref:   domain.AttemptRef{TaskInstanceID: "ti", TenantID: "a", DagID: "d", RunID: "r", TaskID: "x", TryNumber: 1},
		State: domain.TaskStateRunning, Message: "m", QueuedAt: instant(2_000_000), StartedAt: instant(3_000_000), HeartbeatAt: instant(4_000_000),
		CancelRequestedAt: instant(5_000_000), StopBy: instant(6_000_000), Agent: domain.AgentInfo{Version: "v", Hostname: "h"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempt differs (-want +got):\n%s", diff)
	}
	if changes, err := s.RunChanges(as("a"), run.RunKey, 0, 10); err != nil || len(changes) != 1 || changes[0].Revision != 3 {
		t.Errorf("changes %+v, %v", changes, err)
	}
	if next, err := s.LaunchAttempt(as("a"), key, domain.NewAttempt{Try: 2, Supersede: true, IdempotencyKey: "k"}); err != nil || next.Ref.TryNumber != 2 {
		t.Errorf("next %+v, %v", next, err)
	}
}
