package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

var changeTests = []test{
	{"TestRunChangesResume", testChangesResume},
	{"TestRunChangesOfNoRun", testChangesNoRun},
	{"TestRunChangesAreGaplessUnderConcurrency", testChangesGapless},
	{"TestRunChangedWakes", testChangedWakes},
	{"TestRunChangedMissesNothing", testChangedMissesNothing},
}

func testChangesResume(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	all := b.changes(t, tenantA)
	if len(all) != 3 {
		t.Fatalf("%d changes", len(all))
	}
	for after := int64(0); after < 5; after++ {
		for limit := 1; limit < 4; limit++ {
			got, err := b.RunChanges(as(tenantA), theRun, after, limit)
			wantNil(t, err)
			from := min(int(after), len(all))
			want := all[from:min(from+limit, len(all))]
			if len(got) != len(want) {
				t.Fatalf("after %d, at most %d: %d changes", after, limit, len(got))
			}
			for i := range got {
				wantEqual(t, got[i], want[i])
			}
		}
	}
}

func testChangesNoRun(t *testing.T, b *bed) {
	_, err := b.RunChanges(as(tenantA), theRun, 0, 10)
	wantError(t, err, domain.ErrNotFound)
	_, _, err = b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	got, err := b.RunChanges(as(tenantA), theRun, 0, 10)
	if err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
}

// manyTasks is a run of n tasks.
func manyTasks(n int) domain.NewRun {
	r := domain.NewRun{RunKey: theRun}
	for i := range n {
		r.Tasks = append(r.Tasks, domain.TaskDefinition{TaskID: fmt.Sprintf("task %d", i)})
	}
	return r
}

// workThrough runs every task of r at the same time and waits for their end.
func (b *bed) workThrough(t *testing.T, r domain.NewRun) {
	var wg sync.WaitGroup
	for _, task := range r.Tasks {
		wg.Go(func() {
			key := domain.TaskKey{RunKey: r.RunKey, TaskID: task.TaskID}
			a, err := b.LaunchAttempt(as(tenantA), key, domain.NewAttempt{Try: 1})
			if err != nil {
				t.Error(err)
				return
			}
			for _, state := range []domain.TaskState{domain.TaskStateRunning, domain.TaskStateSuccess} {
				if err := b.report(identity(a), state, 0, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func testChangesGapless(t *testing.T, b *bed) {
	r := manyTasks(12)
	_, _, err := b.create(as(tenantA), r)
	wantNil(t, err)
	b.workThrough(t, r)
	changes := b.changes(t, tenantA)
	if len(changes) != 3*len(r.Tasks) {
		t.Fatalf("%d changes", len(changes))
	}
	for i, c := range changes {
		if c.Revision != int64(i+1) {
			t.Fatalf("revision %d stands at %d", c.Revision, i+1)
		}
	}
}

func testChangedWakes(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	b.launched(t, tenantB)
	ctx, cancel := context.WithCancel(as(tenantA))
	defer cancel()
	other := b.RunChanged(ctx, domain.RunKey{DagID: "x", RunID: "x"})
	foreign := b.RunChanged(as(tenantB), theRun)
	changed, again := b.RunChanged(ctx, theRun), b.RunChanged(ctx, theRun)
	wantNil(t, b.RecordHeartbeat(as(tenantA), id)) // changes no task
	wantError(t, b.report(id, domain.TaskStateNone, 0, ""), domain.ErrPrecondition)
	wantOpen(t, changed, again, other, foreign)
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	wantClosed(t, changed, again)
	wantOpen(t, b.RunChanged(ctx, theRun), other, foreign)
	wantClosed(t, b.RunChanged(context.Background(), theRun)) // RunChanges tells why
}

func wantOpen(t *testing.T, channels ...<-chan struct{}) {
	t.Helper()
	for i, c := range channels {
		select {
		case <-c:
			t.Fatalf("channel %d is closed", i)
		default:
		}
	}
}

// wantClosed needs no patience: a change closes the channel before its call returns.
func wantClosed(t *testing.T, channels ...<-chan struct{}) {
	t.Helper()
	for i, c := range channels {
		select {
		case <-c:
		default:
			t.Fatalf("channel %d is open", i)
		}
	}
}

func testChangedMissesNothing(t *testing.T, b *bed) {
	r := manyTasks(6)
	_, _, err := b.create(as(tenantA), r)
	wantNil(t, err)
	ctx, cancel := context.WithTimeout(as(tenantA), time.Minute)
	defer cancel()
	seen := make(chan int64, 1)
	go func() {
		last := int64(0)
		defer func() { seen <- last }()
		for last < int64(3*len(r.Tasks)) {
			changed := b.RunChanged(ctx, theRun)
			changes, err := b.RunChanges(ctx, theRun, last, 2)
			if err != nil {
				return
			}
			for _, c := range changes {
				if c.Revision != last+1 {
					t.Errorf("revision %d follows %d", c.Revision, last)
				}
				last = c.Revision
			}
			if len(changes) > 0 {
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	b.workThrough(t, r)
	if last := <-seen; last != int64(3*len(r.Tasks)) {
		t.Fatalf("the watcher saw revision %d last", last)
	}
}
