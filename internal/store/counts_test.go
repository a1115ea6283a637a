package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestARunsTasksAreCountedOncePerChange: what it costs to look at a run does not hang on how
// many tasks it has, unless some have changed. A state that was changed past the history
// shows that nothing was counted again.
func TestARunsTasksAreCountedOncePerChange(t *testing.T) { OnEach(t, testCountedOncePerChange) }

func testCountedOncePerChange(t *testing.T, fresh func(testing.TB) Config) {
	s := twoTenants(t, fresh(t))
	key := domain.RunKey{DagID: "d", RunID: "r"}
	want := func(tenant string, want map[domain.TaskState]int) {
		t.Helper()
		one, err := s.Run(as(tenant), key)
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.ListRuns(as(tenant), "", 0, 10)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		for _, got := range []domain.RunSummary{one, all[0]} {
			if diff := cmp.Diff(want, got.Tasks); diff != "" {
				t.Errorf("tenant %s: -want +got:\n%s", tenant, diff)
			}
			got.Tasks[domain.TaskStateFailed] = 99 // the caller's own
		}
	}
	want("a", map[domain.TaskState]int{domain.TaskStateNone: 1})
	if err := s.writer.TaskInstance.Update().SetState(domain.TaskStateScheduled).Exec(as("a")); err != nil {
		t.Fatal(err)
	}
	want("a", map[domain.TaskState]int{domain.TaskStateNone: 1})
	want("b", map[domain.TaskState]int{domain.TaskStateNone: 1})
	if _, err := s.CancelRun(as("a"), key, time.Minute); err != nil {
		t.Fatal(err)
	}
	want("a", map[domain.TaskState]int{domain.TaskStateSkipped: 1})
	want("b", map[domain.TaskState]int{domain.TaskStateNone: 1})
}

func TestCountsForgetTheRunThatNobodyAskedForLongest(t *testing.T) {
	c := newCounts(2)
	s := twoTenants(t, Config{Dir: t.TempDir()})
	row, err := s.reader.Run.Query().Only(as("a"))
	if err != nil {
		t.Fatal(err)
	}
	for id := range int64(3) {
		row.ID = id
		c.put(row, map[domain.TaskState]int{domain.TaskStateNone: int(id)})
	}
	for id, want := range []bool{false, true, true} {
		row.ID = int64(id)
		if got, ok := c.get(row); ok != want || want && got[domain.TaskStateNone] != id {
			t.Errorf("run %d: %v, %v", id, got, ok)
		}
	}
	row.Revision++
	if got, ok := c.get(row); ok {
		t.Errorf("of another revision: %v", got)
	}
}
