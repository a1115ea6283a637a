package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

var listTests = []test{
	{"TestRunCountsItsTasks", testRunCounts},
	{"TestRunsNewestFirst", testRuns},
	{"TestRunsPagesAreStable", testRunsStable},
	{"TestTasksInTheOrderOfTheirIds", testTasks},
	{"TestAttemptsNewestFirst", testAttempts},
	{"TestListsOfWhatIsMissing", testListsMissing},
}

func testRunCounts(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	want := domain.RunSummary{
		RunKey: theRun, DagVersion: "v1", CreatedAt: begin,
		Tasks: map[domain.TaskState]int{domain.TaskStateNone: 2},
	}
	check := func() {
		t.Helper()
		got, err := b.Run(as(tenantA), theRun)
		wantNil(t, err)
		want.Seq = got.Seq
		wantEqual(t, got, want)
	}
	check()
	id := b.launch(t, tenantA, 1, false)
	want.Tasks = map[domain.TaskState]int{domain.TaskStateNone: 1, domain.TaskStateQueued: 1}
	want.Revision = 1
	check()
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	want.Tasks = map[domain.TaskState]int{domain.TaskStateNone: 1, domain.TaskStateSuccess: 1}
	want.Revision = 3
	check()
}

// createRuns creates runs from to to of a DAG, of as many tasks as their numbers.
func (b *bed) createRuns(t *testing.T, dag string, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		r := manyTasks(i)
		r.RunKey = domain.RunKey{DagID: dag, RunID: fmt.Sprintf("run %d", i)}
		_, _, err := b.create(as(tenantA), r)
		wantNil(t, err)
	}
}

func testRuns(t *testing.T, b *bed) {
	got, err := b.ListRuns(as(tenantA), "", 0, 10)
	if err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	b.createRuns(t, "one", 1, 3)
	b.createRuns(t, "two", 1, 2)
	for dag, want := range map[string][]domain.RunKey{
		"":     {{DagID: "two", RunID: "run 2"}, {DagID: "two", RunID: "run 1"}, {DagID: "one", RunID: "run 3"}, {DagID: "one", RunID: "run 2"}, {DagID: "one", RunID: "run 1"}},
		"one":  {{DagID: "one", RunID: "run 3"}, {DagID: "one", RunID: "run 2"}, {DagID: "one", RunID: "run 1"}},
		"none": {},
	} {
		for limit := 1; limit < 7; limit++ {
			seen := []domain.RunKey{}
			for before := int64(0); ; {
				page, err := b.ListRuns(as(tenantA), dag, before, limit)
				wantNil(t, err)
				if len(page) > limit {
					t.Fatalf("%d runs of at most %d", len(page), limit)
				}
				for _, r := range page {
					if n := len(r.Tasks); n != 1 || fmt.Sprintf("run %d", r.Tasks[domain.TaskStateNone]) != r.RunID {
						t.Fatalf("%s has tasks %v", r.RunID, r.Tasks)
					}
					seen, before = append(seen, r.RunKey), r.Seq
				}
				if len(page) < limit {
					break
				}
			}
			wantEqual(t, seen, want)
		}
	}
}

// testRunsStable adds runs while a list is read: it shows what was there at its
// beginning, each once.
func testRunsStable(t *testing.T, b *bed) {
	b.createRuns(t, "dag", 1, 10)
	var seen []string
	for before, added := int64(0), 10; ; added++ {
		page, err := b.ListRuns(as(tenantA), "dag", before, 3)
		wantNil(t, err)
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			seen, before = append(seen, r.RunID), r.Seq
		}
		b.createRuns(t, "dag", added+1, added+1)
	}
	var want []string
	for i := 10; i > 0; i-- {
		want = append(want, fmt.Sprintf("run %d", i))
	}
	wantEqual(t, seen, want)
}

func testTasks(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	prefix := theRun.DagID + "/" + theRun.RunID
	want := []domain.TaskSummary{
		{
			Task:     domain.Task{TaskInstanceID: prefix + "/1", TaskID: "second in the alphabet", State: domain.TaskStateNone},
			Operator: "bash",
		},
		{
			Task:     domain.Task{TaskInstanceID: prefix + "/2", TaskID: theTask.TaskID, State: domain.TaskStateQueued, TryNumber: 1},
			Operator: "python", Upstream: []string{"a", "second in the alphabet", "z"},
		},
	}
	got, err := b.ListTasks(as(tenantA), theRun, "", 10)
	wantNil(t, err)
	wantEqual(t, got, want)
	got, err = b.ListTasks(as(tenantA), theRun, "", 1)
	wantNil(t, err)
	wantEqual(t, got, want[:1])
	got, err = b.ListTasks(as(tenantA), theRun, want[0].TaskID, 1)
	wantNil(t, err)
	wantEqual(t, got, want[1:])
	got, err = b.ListTasks(as(tenantA), theRun, want[1].TaskID, 1)
	if err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	b.mustReport(t, id, domain.TaskStateFailed, 1, "")
	b.launch(t, tenantA, 2, false)
	got, err = b.ListTasks(as(tenantA), theRun, "t", 10)
	wantNil(t, err)
	if len(got) != 1 || got[0].TryNumber != 2 || got[0].State != domain.TaskStateQueued {
		t.Fatalf("%+v", got)
	}
}

func testAttempts(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	got, err := b.ListAttempts(as(tenantA), theTask, 0, 10)
	if err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	id := b.launch(t, tenantA, 1, false)
	info := domain.AgentInfo{Version: "1.2", Hostname: "host"}
	wantNil(t, b.RegisterAgent(as(tenantA), id, info))
	started := b.pass(time.Second)
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	beat := b.pass(time.Second)
	wantNil(t, b.RecordHeartbeat(as(tenantA), id))
	asked := b.pass(time.Second)
	b.mustCancel(t, id, asked.Add(time.Minute))
	ended := b.pass(time.Second)
	b.mustReport(t, id, domain.TaskStateFailed, -15, "stopped")
	queued := b.pass(time.Second)
	second := b.launch(t, tenantA, 2, false)
	want := []domain.Attempt{
		{Ref: second.Attempt(), State: domain.TaskStateQueued, Timeout: 90 * time.Second, QueuedAt: queued},
		{
			Ref: id.Attempt(), State: domain.TaskStateFailed, Cause: domain.CauseCancelled, ExitCode: -15, Message: "stopped",
			Timeout: 90 * time.Second, QueuedAt: begin, StartedAt: started, EndedAt: ended, HeartbeatAt: beat,
			CancelRequestedAt: asked, StopBy: asked.Add(time.Minute), Agent: info,
		},
	}
	got, err = b.ListAttempts(as(tenantA), theTask, 0, 10)
	wantNil(t, err)
	wantEqual(t, got, want)
	wantEqual(t, b.attempt(t, id), want[1])
	got, err = b.ListAttempts(as(tenantA), theTask, 0, 1)
	wantNil(t, err)
	wantEqual(t, got, want[:1])
	got, err = b.ListAttempts(as(tenantA), theTask, 2, 1)
	wantNil(t, err)
	wantEqual(t, got, want[1:])
	got, err = b.ListAttempts(as(tenantA), theTask, 1, 1)
	if err != nil || len(got) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
}

func testListsMissing(t *testing.T, b *bed) {
	b.launched(t, tenantA)
	for _, key := range missing() {
		_, err := b.ListAttempts(as(tenantA), key, 0, 10)
		wantError(t, err, domain.ErrNotFound)
	}
	for _, key := range missing()[:2] {
		_, err := b.Run(as(tenantA), key.RunKey)
		wantError(t, err, domain.ErrNotFound)
		_, err = b.ListTasks(as(tenantA), key.RunKey, "", 10)
		wantError(t, err, domain.ErrNotFound)
	}
}
