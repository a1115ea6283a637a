package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// TestState2AWriteOfUnknownOutcomeIsMadeOnce has the connection break when the database
// has committed, and before, and has another transaction win a deadlock: what was asked
// for is then stored once, and everybody is told so.
func TestState2AWriteOfUnknownOutcomeIsMadeOnce(t *testing.T) {
	for name, fault := range map[string]struct {
		committed bool
		err       error
	}{
		"committed":     {true, fmt.Errorf("receive: %w", io.ErrUnexpectedEOF)},
		"not committed": {false, fmt.Errorf("receive: %w", io.ErrUnexpectedEOF)},
		"deadlock":      {false, &pgconn.PgError{Code: deadlockDetected}},
	} {
		onCrowd(t, 6, func(t *testing.T, c crowd) {
			faults := 0
			c.writeDeedsBy(t, func(ctx context.Context, deeds []deed) ([]outcome, error) {
				if faults++; faults > 2 {
					return c.writeDeeds(ctx, deeds)
				}
				if fault.committed {
					if _, err := c.writeDeeds(ctx, deeds); err != nil {
						return nil, err
					}
				}
				return nil, fault.err
			})
			for i, err := range c.atOnce(t, func(id auth.AgentIdentity) error {
				if id.TaskID < "3" {
					return c.PutXCom(as("a"), id.Attempt(), "k", xcom.Entry{Value: []byte("1"), CreatedAt: time.Now()}, time.Now().Add(time.Hour))
				}
				return c.ReportState(as("a"), id, domain.TaskStateSuccess, 0, "")
			}) {
				if err != nil {
					t.Errorf("%s: %d: %v", name, i, err)
				}
			}
			if faults <= 2 {
				t.Errorf("%s: written %d times", name, faults)
			}
			c.wantOnce(t, name, "SELECT count(*) FROM xcom_entries", 3)
			c.wantOnce(t, name, "SELECT count(*) FROM task_changes WHERE state = 'success'", 3)
			c.wantOnce(t, name, "SELECT count(*) FROM attempts WHERE settled_by_report", 3)
		})
	}
}

func (c crowd) wantOnce(t *testing.T, name, query string, want int) {
	t.Helper()
	var n int
	if err := c.db.QueryRow(query).Scan(&n); err != nil || n != want {
		t.Errorf("%s: %s: %d, %v; want %d", name, query, n, err, want)
	}
}

// TestBeat2AHungStatementEndsAlone has the database not come back from the heartbeat of
// one attempt: its agent is told in time that nobody knows, and the others go on.
func TestBeat2AHungStatementEndsAlone(t *testing.T) {
	c := newCrowd(t, newBroken(t, alone["postgres"](t)), 2) // on SQLite there is nobody who could hang
	c.exec(t, "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(600); RETURN NEW; END$$")
	c.exec(t, fmt.Sprintf("CREATE TRIGGER hang BEFORE UPDATE ON attempts FOR EACH ROW WHEN (NEW.instance_id = '%s') EXECUTE FUNCTION hang()", c.ids[0].TaskInstanceID))
	ctx, cancel := context.WithTimeout(as("a"), time.Minute)
	defer cancel()
	if err := c.RecordHeartbeat(ctx, c.ids[0]); !errors.Is(err, domain.ErrUnavailable) || ctx.Err() != nil {
		t.Errorf("the one that hangs: %v", err)
	}
	err := c.RecordHeartbeat(ctx, c.ids[1])
	for errors.Is(err, domain.ErrUnavailable) && ctx.Err() == nil { // a connection is made anew, which may take longer
		err = c.RecordHeartbeat(ctx, c.ids[1])
	}
	if err != nil {
		t.Errorf("another, afterwards: %v", err)
	}
}
