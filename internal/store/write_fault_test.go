package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/batch"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// ways are those in which writes go to the database.
var ways = []WritePath{Batched, Direct}

// attempts are those of many tasks of one run, all of them launched.
type attempts struct {
	*Store
	run domain.RunKey
	ids []auth.AgentIdentity
}

func newAttempts(t *testing.T, cfg Config, n int) attempts {
	t.Helper()
	a := attempts{Store: mustOpen(t, cfg), run: domain.RunKey{DagID: "d", RunID: "r"}}
	run := domain.NewRun{RunKey: a.run}
	for i := range n {
		run.Tasks = append(run.Tasks, domain.TaskDefinition{TaskID: fmt.Sprintf("x%02d", i)})
	}
	if _, _, err := a.CreateRun(as("a"), run); err != nil {
		t.Fatal(err)
	}
	for _, task := range run.Tasks {
		launched, err := a.LaunchAttempt(as("a"), domain.TaskKey{RunKey: a.run, TaskID: task.TaskID}, domain.NewAttempt{Try: 1})
		if err != nil {
			t.Fatal(err)
		}
		a.ids = append(a.ids, auth.IdentityOf(launched.Ref))
	}
	return a
}

// report reports for the nth attempt.
func (a attempts) report(ctx context.Context, nth int, state domain.TaskState) error {
	return a.ReportState(ctx, a.ids[nth], state, 0, "")
}

// together reports for attempts at once, and returns what each was answered.
func (a attempts) together(ctx context.Context, state domain.TaskState, nths ...int) (wait func() []error) {
	errs := make([]error, len(nths))
	var all sync.WaitGroup
	for i, nth := range nths {
		all.Go(func() { errs[i] = a.report(ctx, nth, state) })
	}
	return func() []error { all.Wait(); return errs }
}

// wantChanges holds the states that the nth attempt went through, each once.
func (a attempts) wantChanges(t *testing.T, nth int, want ...domain.TaskState) {
	t.Helper()
	changes, err := a.RunChanges(as("a"), a.run, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got []domain.TaskState
	for _, c := range changes {
		if c.TaskID == a.ids[nth].TaskID {
			got = append(got, c.State)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("attempt %d went through %v, want %v", nth, got, want)
	}
}

// patiently bounds a wait for what should come.
func patiently(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(as("a"), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestBrokenConnections(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	for _, err := range []error{pgconn.ErrConnClosed, reset, io.EOF, &pgconn.PgError{Code: adminShutdown}, &pgconn.PgError{Code: crashShutdown}} {
		err = fmt.Errorf("wrapped: %w", err)
		if got := explain(err); !errors.Is(got, domain.ErrUnavailable) {
			t.Errorf("STATE-8: %v becomes %v", err, got)
		}
		if judge(err) != batch.Again {
			t.Errorf("%v: nobody knows whether it was committed, and it is not done again", err)
		}
	}
	for _, code := range []string{"26000", "0A000", "42P05"} {
		if judge(fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})) != batch.Again {
			t.Errorf("%s: another connection has prepared it, and is not asked", code)
		}
	}
	for _, err := range []error{context.DeadlineExceeded, context.Canceled, &pgconn.PgError{Code: "57014"}, &pgconn.PgError{Code: "25006"}} {
		if judge(fmt.Errorf("wrapped: %w", err)) != batch.Fail {
			t.Errorf("%v: it is done again at once, or others for it", err)
		}
	}
}

// TestState3AnUnknownCommitIsAcknowledgedOnce cuts the connection when the database has
// committed, before it can say so: the caller is told that it is done, or to try again,
// and then that it is done; and it was done once.
func TestState3AnUnknownCommitIsAcknowledgedOnce(t *testing.T) {
	for _, way := range ways {
		t.Run(string(way), func(t *testing.T) {
			place := alone["postgres"](t)
			w, through := wireTo(t, place)
			a := newAttempts(t, Config{WritePath: way}.at(through), 3)
			if err := a.report(patiently(t), 0, domain.TaskStateRunning); err != nil { // connections are made
				t.Fatal(err)
			}
			db := raw(t, place)
			is := func(state domain.TaskState) func() {
				return func() {
					var got domain.TaskState
					if err := db.QueryRow("SELECT state FROM attempts WHERE task_id = 'x01'").Scan(&got); err != nil || got != state {
						t.Errorf("it is cut when the attempt is %s, %v", got, err)
					}
				}
			}
			for _, state := range []domain.TaskState{domain.TaskStateRunning, domain.TaskStateSuccess} {
				w.cutAfterCommit(1, is(state))
				// What servers tell each other may come in between, and is no write.
				if err := a.wakes.send(patiently(t), []string{"nobody"}); err != nil {
					t.Fatal(err)
				}
				changed := a.RunChanged(patiently(t), a.run)
				err := a.report(patiently(t), 1, state)
				if way == Direct && errors.Is(err, domain.ErrUnavailable) && state == domain.TaskStateRunning {
					err = a.report(patiently(t), 1, state)
				}
				if err != nil {
					t.Errorf("%s is answered %v", state, err)
				}
				w.wantCut(1)
				select {
				case <-changed:
				default:
					t.Errorf("who watches the run is not told that an attempt is %s", state)
				}
			}
			a.wantChanges(t, 1, domain.TaskStateQueued, domain.TaskStateRunning, domain.TaskStateSuccess)
		})
	}
}

// TestXCom6AnUnknownCommitOfAPushIsTheSamePush is the same for a value.
func TestXCom6AnUnknownCommitOfAPushIsTheSamePush(t *testing.T) {
	for _, way := range ways {
		t.Run(string(way), func(t *testing.T) {
			w, through := wireTo(t, alone["postgres"](t))
			a := newAttempts(t, Config{WritePath: way}.at(through), 1)
			ref := a.ids[0].Attempt()
			push := func(value string) error {
				now := time.Now()
				return a.PutXCom(patiently(t), ref, "k", xcom.Entry{Value: []byte(value), CreatedAt: now}, now.Add(time.Hour))
			}
			if err := push("first"); err != nil {
				t.Fatal(err)
			}
			w.cutAfterCommit(1, nil)
			err := push("second")
			if way == Direct && errors.Is(err, domain.ErrUnavailable) {
				err = push("second")
			}
			w.wantCut(1)
			if err != nil {
				t.Errorf("it is answered %v", err)
			}
			got, err := a.GetXCom(patiently(t), xcom.Key{TenantID: "a", DagID: "d", RunID: "r", TaskID: "x00", Name: "k"}, nil, time.Now())
			if err != nil || string(got.Value) != "second" {
				t.Errorf("stored is %q, %v", got.Value, err)
			}
		})
	}
}

// TestState3AnUnknownCommitOfManyIsAcknowledgedToEach cuts two commits of many reports.
func TestState3AnUnknownCommitOfManyIsAcknowledgedToEach(t *testing.T) {
	w, through := wireTo(t, alone["postgres"](t))
	a := newAttempts(t, Config{}.at(through), 30)
	if err := a.report(patiently(t), 0, domain.TaskStateSuccess); err != nil {
		t.Fatal(err)
	}
	var nths []int
	for nth := range a.ids[1:] {
		nths = append(nths, nth+1)
	}
	w.cutAfterCommit(2, nil)
	if err := errors.Join(a.together(patiently(t), domain.TaskStateFailed, nths...)()...); err != nil {
		t.Error(err)
	}
	w.wantCut(2)
	for _, nth := range nths {
		a.wantChanges(t, nth, domain.TaskStateQueued, domain.TaskStateFailed)
	}
}

// TestState8AHeldRowKeepsNobodyElseWaiting has another session hold the row of one
// attempt: the others are written meanwhile, and the one when it is let go.
func TestState8AHeldRowKeepsNobodyElseWaiting(t *testing.T) {
	for _, way := range ways {
		t.Run(string(way), func(t *testing.T) {
			place := alone["postgres"](t)
			a := newAttempts(t, Config{WritePath: way}.at(place), 8)
			tx, err := raw(t, place).Begin()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec("SELECT FROM attempts WHERE task_id = 'x00' FOR UPDATE"); err != nil {
				t.Fatal(err)
			}
			held := a.together(patiently(t), domain.TaskStateSuccess, 0)
			brief, cancel := context.WithTimeout(as("a"), 2*heldTimeout)
			defer cancel()
			beat := make(chan error, 1)
			go func() { beat <- a.RecordHeartbeat(brief, a.ids[0]) }()
			for _, state := range []domain.TaskState{domain.TaskStateRunning, domain.TaskStateSuccess} {
				if err := errors.Join(a.together(patiently(t), state, 1, 2, 3, 4, 5, 6, 7)()...); err != nil {
					t.Errorf("others' %s while a row is held: %v", state, err)
				}
			}
			if err := <-beat; !errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrNotLive) {
				t.Errorf("BEAT-2: the held one's heartbeat: %v", err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if err := held()[0]; err != nil {
				t.Errorf("the held one's report: %v", err)
			}
			a.wantChanges(t, 0, domain.TaskStateQueued, domain.TaskStateSuccess)
			a.wantChanges(t, 7, domain.TaskStateQueued, domain.TaskStateRunning, domain.TaskStateSuccess)
		})
	}
}
