package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/ent/migrate"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/xcom"
)

var movedTask = domain.TaskKey{RunKey: domain.RunKey{DagID: "d", RunID: "r"}, TaskID: "x"}

// fill puts something into every table for two tenants.
func fill(t *testing.T, s *Store) {
	t.Helper()
	for _, tenant := range []string{"a", "b"} {
		ctx := as(tenant)
		_, _, err := s.CreateRun(ctx, domain.NewRun{RunKey: movedTask.RunKey, DagVersion: "1\x00", Tasks: []domain.TaskDefinition{
			{TaskID: "x", Variables: []string{"ä v"}, Spec: domain.TaskSpec{Operator: "bash", Environment: map[string]string{"A": "\x00"}}}, {TaskID: "y"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.LaunchAttempt(ctx, movedTask, domain.NewAttempt{Try: 1})
		if err != nil {
			t.Fatal(err)
		}
		id := auth.IdentityOf(a.Ref)
		for _, err := range []error{
			s.PutVariable(ctx, "by", "ä v", "value"), s.PutConnection(ctx, "by", "c", "uri"), s.SetSecretScope(ctx, "by", secrets.ScopeDeclared),
			s.PutXCom(ctx, a.Ref, "k", xcom.Entry{Value: []byte{0, 0xff}, CreatedAt: time.Unix(1, 0)}, time.Unix(1<<40, 0)),
			s.heartbeat(ctx, id), s.ReportStateAt(ctx, id, domain.TaskStateFailed, -9, "why ü", time.Unix(5, 0)),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// told is what a store tells of what fill has put there.
func told(t *testing.T, s *Store, tenant string) map[string]any {
	t.Helper()
	ctx, out, errs := as(tenant), map[string]any{}, []error{}
	note := func(name string, v any, err error) { out[name], errs = v, append(errs, err) }
	run, err := s.Run(ctx, movedTask.RunKey)
	note("run", run, err)
	tasks, err := s.ListTasks(ctx, movedTask.RunKey, "", 10)
	note("tasks", tasks, err)
	attempt, err := s.Attempt(ctx, movedTask, 1)
	note("attempt", attempt, err)
	spec, err := s.TaskSpec(ctx, auth.IdentityOf(attempt.Ref))
	note("spec", spec, err)
	changes, err := s.RunChanges(ctx, movedTask.RunKey, 0, 100)
	note("changes", changes, err)
	audit, err := s.ListAuditEvents(ctx, 0, 100)
	note("audit", audit, err)
	variables, err := s.SecretVariables(ctx, tenant)
	note("variables", variables, err)
	connections, err := s.SecretConnectionURIs(ctx, tenant)
	note("connections", connections, err)
	scope, err := s.SecretScope(ctx)
	note("scope", scope, err)
	value, err := s.GetXCom(ctx, xcom.Key{TenantID: tenant, DagID: "d", RunID: "r", TaskID: "x", Name: "k"}, nil, time.Unix(2, 0))
	note("value", value, err)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMoveToPostgresKeepsEverything(t *testing.T) {
	keyset, err := secrets.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	dir, dsn := t.TempDir(), alone["postgres"](t).DSN
	s := mustOpen(t, Config{Dir: dir, Sealer: keyset})
	fill(t, s)
	before := map[string]any{"a": told(t, s, "a"), "b": told(t, s, "b")}
	if _, err := MoveToPostgres(t.Context(), dir, dsn); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	moved, err := MoveToPostgres(t.Context(), dir, dsn)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"runs", "tenants", "attempts", "variables", "connections", "xcom_entries"} {
		if moved.Rows[table] != 2 {
			t.Errorf("%d rows of %s", moved.Rows[table], table)
		}
	}
	if state, err := CheckFile(t.Context(), moved.Kept); err != nil || filepath.Dir(moved.Kept) != dir || state.Database == 0 {
		t.Errorf("the file: %+v, %v", state, err)
	}
	s = mustOpen(t, Config{Dir: dir, DSN: dsn, Sealer: keyset})
	after := map[string]any{"a": told(t, s, "a"), "b": told(t, s, "b")}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("differs (-embedded +moved):\n%s", diff)
	}
	// New rows follow the old ones.
	if next, err := s.LaunchAttempt(as("a"), movedTask, domain.NewAttempt{Try: 2}); err != nil || next.Ref.TryNumber != 2 {
		t.Errorf("next %+v, %v", next, err)
	}
	if _, _, err := s.CreateRun(as("new"), domain.NewRun{RunKey: movedTask.RunKey}); err != nil {
		t.Error(err)
	}
	again := t.TempDir()
	openOnce(t, Config{Dir: again})
	if _, err := MoveToPostgres(t.Context(), again, dsn); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("into a full one: %v", err)
	}
	mustOpen(t, Config{Dir: again})
	if _, err := MoveToPostgres(t.Context(), t.TempDir(), dsn); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of none: %v", err)
	}
}

func TestParentsComeFirst(t *testing.T) {
	backward := slices.Clone(migrate.Tables)
	slices.Reverse(backward)
	var names []string
	for _, table := range parentsFirst(backward) {
		names = append(names, table.Name)
	}
	for _, pair := range [][2]string{{"runs", "task_instances"}, {"task_instances", "attempts"}, {"runs", "task_changes"}} {
		if slices.Index(names, pair[0]) > slices.Index(names, pair[1]) {
			t.Errorf("%v", names)
		}
	}
	if len(names) != len(backward) {
		t.Errorf("%v", names)
	}
}
