package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// TestBeat2WhoGivesUpOnALockedDatabaseBreaksNothing has writes of all kinds end while
// somebody has the database: the driver's connections are then not used again, nor is what
// was prepared on them.
func TestBeat2WhoGivesUpOnALockedDatabaseBreaksNothing(t *testing.T) {
	onCrowd(t, 2, func(t *testing.T, c crowd) {
		id := c.ids[0]
		push := func(ctx context.Context) error {
			return c.PutXCom(ctx, id.Attempt(), "k", xcom.Entry{Value: []byte("1"), CreatedAt: time.Now()}, time.Now().Add(time.Hour))
		}
		writes := map[string]func(context.Context) error{
			"heartbeat": func(ctx context.Context) error { return c.heartbeat(ctx, id) },
			"push":      push,
			"report":    func(ctx context.Context) error { return c.ReportState(ctx, id, domain.TaskStateRunning, 0, "") },
			"registration": func(ctx context.Context) error {
				return c.RegisterAgent(ctx, id, domain.AgentInfo{})
			},
		}
		for what, write := range writes {
			if err := write(as("a")); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		unlock := c.lockAll(t)
		for what, write := range writes {
			ctx, cancel := context.WithTimeout(as("a"), 50*time.Millisecond)
			if err := write(ctx); err == nil {
				t.Errorf("%s: written to a locked database", what)
			}
			cancel()
		}
		if err := c.RecordHeartbeat(as("a"), c.ids[1]); !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("a heartbeat on a locked database: %v", err)
		}
		unlock()
		for i, err := range c.atOnce(t, func(id auth.AgentIdentity) error { return c.heartbeat(as("a"), id) }) {
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		if err := errors.Join(push(as("a")), c.Close()); err != nil {
			t.Error(err)
		}
	})
}

// lockAll has somebody else write, until unlock is called.
func (c crowd) lockAll(t *testing.T) (unlock func()) {
	t.Helper()
	tx, err := c.db.BeginTx(t.Context(), nil) // on SQLite it takes the right to write
	if err == nil && c.place.DSN != "" {
		_, err = tx.ExecContext(t.Context(), "LOCK TABLE attempts, task_instances, xcom_entries IN EXCLUSIVE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}
