package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// TestCancelSkipsFromEveryStateWithoutAnAttempt puts a task into states that no call
// brings about yet.
func TestCancelSkipsFromEveryStateWithoutAnAttempt(t *testing.T) {
	OnEach(t, testCancelSkips)
}

func testCancelSkips(t *testing.T, fresh func(testing.TB) Config) {
	s := twoTenants(t, fresh(t))
	key := domain.TaskKey{RunKey: domain.RunKey{DagID: "d", RunID: "r"}, TaskID: "x"}
	for _, state := range domain.States() {
		if state.Live() || state.Terminal() {
			continue
		}
		for name, cancel := range map[string]func() error{
			"task": func() error { _, err := s.CancelTask(as("a"), key, time.Minute); return err },
			"run":  func() error { _, err := s.CancelRun(as("a"), key.RunKey, time.Minute); return err },
		} {
			if err := s.writer.TaskInstance.Update().SetState(state).Exec(as("a")); err != nil {
				t.Fatal(err)
			}
			if err := cancel(); err != nil {
				t.Fatal(err)
			}
			task, err := s.reader.TaskInstance.Query().Where(taskinstance.TaskID("x")).Only(as("a"))
			if err != nil || task.State != domain.TaskStateSkipped {
				t.Errorf("%s cancelled while %s: %v, %v", name, state, task, err)
			}
		}
	}
	other, err := s.reader.TaskInstance.Query().Only(as("b"))
	if err != nil || other.State != domain.TaskStateNone {
		t.Errorf("of another tenant: %v, %v", other, err)
	}
}

// TestNoRecordNoWriteOfASecret breaks the audit under each write.
func TestNoRecordNoWriteOfASecret(t *testing.T) { onBroken(t, testNoRecordNoWriteOfASecret) }

func testNoRecordNoWriteOfASecret(t *testing.T, b broken) {
	b.exec(t, "DROP TABLE audit_events")
	for name, write := range map[string]func(context.Context) error{
		"put variable":      func(ctx context.Context) error { return b.PutVariable(ctx, "by", "v", "other") },
		"put connection":    func(ctx context.Context) error { return b.PutConnection(ctx, "by", "c", "other") },
		"delete variable":   func(ctx context.Context) error { return b.DeleteVariable(ctx, "by", "v") },
		"delete connection": func(ctx context.Context) error { return b.DeleteConnection(ctx, "by", "c") },
		"set scope":         func(ctx context.Context) error { return b.SetSecretScope(ctx, "by", secrets.ScopeDeclared) },
	} {
		if err := write(as("a")); !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if scope, err := b.SecretScope(as("a")); err != nil || scope != secrets.ScopeTenant {
		t.Errorf("scope %v, %v", scope, err)
	}
	variables, err := b.SecretVariables(as("a"), "a")
	if err != nil || variables["v"] != "value" {
		t.Errorf("variables %v, %v", variables, err)
	}
	uris, err := b.SecretConnectionURIs(as("a"), "a")
	if err != nil || uris["c"] != "uri" {
		t.Errorf("connections %v, %v", uris, err)
	}
}
