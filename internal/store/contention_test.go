package store

import (
	"errors"
	"sync"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestState9ManyServersChangeOneRun has three stores of one database take reports of attempts of
// one run, and launch more of it, at once: each change has a revision of its own, and none is
// left out.
func TestState9ManyServersChangeOneRun(t *testing.T) {
	const servers, each = 3, 20
	place := alone["postgres"](t)
	a := newAttempts(t, place, servers*each)
	stores := [servers]*Store{a.Store, mustOpen(t, place), mustOpen(t, place)}
	var all sync.WaitGroup
	errs := make([]error, servers*each)
	for i := range errs {
		at := attempts{Store: stores[i%servers], run: a.run, ids: a.ids}
		all.Go(func() {
			running := at.report(patiently(t), i, domain.TaskStateRunning)
			_, launched := at.LaunchAttempt(patiently(t), domain.TaskKey{RunKey: a.run, TaskID: a.ids[i].TaskID}, domain.NewAttempt{Try: 2, Supersede: i%2 == 0})
			if i%2 == 1 && errors.Is(launched, domain.ErrPrecondition) { // its first try is under way
				launched = at.report(patiently(t), i, domain.TaskStateSuccess)
			}
			errs[i] = errors.Join(running, launched)
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	changes, err := a.RunChanges(as("a"), a.run, 0, 10*servers*each)
	if err != nil {
		t.Fatal(err)
	}
	perTask := map[string]int{}
	for i, c := range changes {
		if c.Revision != int64(i+1) {
			t.Fatalf("change %d has the revision %d", i+1, c.Revision)
		}
		perTask[c.TaskID]++
	}
	for i, id := range a.ids {
		want := 3 // queued, running, success
		if i%2 == 0 {
			want = 4 // queued, running, superseded, queued
		}
		if perTask[id.TaskID] != want {
			t.Errorf("task %s has %d changes, want %d", id.TaskID, perTask[id.TaskID], want)
		}
	}
}

// TestSpec1AHeldTableIsWaitedForLonger has another transaction hold what an agent's first call
// reads, as a migration may: the call waits for it as any does, and not as briefly as those that
// are read together.
func TestSpec1AHeldTableIsWaitedForLonger(t *testing.T) {
	place := alone["postgres"](t)
	a := newAttempts(t, place, 1)
	a.forget()
	ctx := patiently(t)
	held, err := raw(t, place).BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.ExecContext(ctx, "LOCK TABLE attempts"); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() {
		_, err := a.TaskSpec(ctx, a.ids[0])
		told <- err
	}()
	const alone = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query NOT LIKE '%unnest%'"
	looking := raw(t, place)
	for waiting := 0; waiting == 0; {
		if err := looking.QueryRowContext(ctx, alone).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-told:
			t.Fatalf("answered while the table is held: %v", err)
		default:
		}
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Errorf("answered %v", err)
	}
}
