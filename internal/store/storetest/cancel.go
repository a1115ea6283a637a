package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

var cancelTests = []test{
	{"TestCancelKeepsTheFirst", testCancelKeepsFirst},
	{"TestCancelOfASettledTaskChangesNothing", testCancelSettled},
	{"TestCancelOfATaskNeverLaunchedSkipsIt", testCancelUnlaunched},
	{"TestCancelBeginsAnewWithTheNextTry", testCancelNextTry},
	{"TestCancelOfWhatIsMissing", testCancelMissing},
	{"TestCancelRunIsEachTaskAtOnce", testCancelRun},
	{"TestCancelRunOfManyTasks", testCancelMany},
}

func testCancelKeepsFirst(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	asked := b.pass(time.Second)
	for i, c := range []struct{ within, want time.Duration }{
		{time.Minute, time.Minute},
		{time.Hour, time.Minute}, // later: the first stays
		{time.Minute, time.Minute},
		{time.Second, time.Second}, // earlier
		{time.Hour, time.Second},
		{0, 0},
	} {
		if i%2 == 0 {
			got, err := b.CancelTask(as(tenantA), theTask, c.within)
			wantNil(t, err)
			wantEqual(t, got, domain.Cancellation{State: domain.TaskStateQueued, StopBy: asked.Add(c.want)})
		} else {
			got, err := b.CancelRun(as(tenantA), theRun, c.within)
			wantNil(t, err)
			if got.Pending != 1 {
				t.Fatalf("cancel %d: %+v", i, got)
			}
		}
		if got, pending, err := b.StopBy(as(tenantA), id); err != nil || !pending || !got.Equal(asked.Add(c.want)) {
			t.Fatalf("stop by %v, %v, %v; want %v", got, pending, err, asked.Add(c.want))
		}
	}
	b.pass(time.Minute)
	_, err := b.CancelTask(as(tenantA), theTask, time.Second) // later by the clock
	wantNil(t, err)
	if a := b.attempt(t, id); !a.CancelRequestedAt.Equal(asked) || !a.StopBy.Equal(asked) || a.State != domain.TaskStateQueued {
		t.Fatalf("attempt %+v", a)
	}
	for _, c := range b.changes(t, tenantA) {
		if c.TaskID == theTask.TaskID && c.State != domain.TaskStateQueued {
			t.Fatalf("a pending cancel changed %+v", c)
		}
	}
}

func testCancelSettled(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	other := domain.TaskKey{RunKey: theRun, TaskID: "second in the alphabet"}
	_, err := b.SettleTask(as(tenantA), other, domain.TaskStateUpstreamFailed)
	wantNil(t, err)
	for try, state := range []domain.TaskState{domain.TaskStateSuccess, domain.TaskStateFailed, domain.TaskStateSkipped} {
		b.mustReport(t, id, state, 0, "")
		before := b.see(t, id, try+1)
		got, err := b.CancelTask(as(tenantA), theTask, time.Minute)
		wantNil(t, err)
		wantEqual(t, got, domain.Cancellation{State: state})
		got, err = b.CancelTask(as(tenantA), other, time.Minute)
		wantNil(t, err)
		wantEqual(t, got, domain.Cancellation{State: domain.TaskStateUpstreamFailed})
		run, err := b.CancelRun(as(tenantA), theRun, time.Minute)
		wantNil(t, err)
		wantEqual(t, run, domain.RunCancellation{})
		wantEqual(t, b.see(t, id, try+1), before)
		id = b.launch(t, tenantA, try+2, false)
	}
	wantNil(t, b.RecordHeartbeat(as(tenantA), id))
}

func testCancelUnlaunched(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	changed := b.RunChanged(as(tenantA), theRun)
	at := b.pass(time.Second)
	for range 2 {
		got, err := b.CancelTask(as(tenantA), theTask, time.Minute)
		wantNil(t, err)
		wantEqual(t, got, domain.Cancellation{State: domain.TaskStateSkipped})
	}
	wantClosed(t, changed)
	b.wantSteps(t, tenantA, plain(0, domain.TaskStateSkipped))
	if c := b.changes(t, tenantA)[0]; !c.At.Equal(at) {
		t.Fatalf("change %+v", c)
	}
	_, err = b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: 1, Supersede: true})
	wantError(t, err, domain.ErrPrecondition)
}

func testCancelNextTry(t *testing.T, b *bed) {
	first := b.launched(t, tenantA)
	b.mustCancel(t, first, begin.Add(time.Minute))
	second := b.launch(t, tenantA, 2, true)
	wantNil(t, b.RecordHeartbeat(as(tenantA), second))
	before := b.attempt(t, first)
	b.mustCancel(t, second, begin.Add(time.Hour))
	wantEqual(t, b.attempt(t, first), before)
	wantError(t, b.RecordHeartbeat(as(tenantA), second), domain.ErrCancelled)
}

func testCancelMissing(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.see(t, id, 1)
	for _, key := range missing() {
		_, err := b.CancelTask(as(tenantA), key, time.Minute)
		wantError(t, err, domain.ErrNotFound)
	}
	for _, key := range missing()[:2] {
		_, err := b.CancelRun(as(tenantA), key.RunKey, time.Minute)
		wantError(t, err, domain.ErrNotFound)
	}
	wantEqual(t, b.see(t, id, 1), before)
}

// testCancelRun cancels a run with a task in each state that calls can bring about.
func testCancelRun(t *testing.T, b *bed) {
	names := []string{"none", "queued", "running", "success", "failed", "skipped", "upstream_failed", "cancelling", "retried"}
	r := domain.NewRun{RunKey: theRun}
	for _, name := range names {
		r.Tasks = append(r.Tasks, domain.TaskDefinition{TaskID: name})
	}
	for _, run := range []domain.RunKey{theRun, {DagID: theRun.DagID, RunID: "other"}} {
		r.RunKey = run
		_, _, err := b.create(as(tenantA), r)
		wantNil(t, err)
		b.mix(t, run)
	}
	before, steps := b.states(t), len(b.changes(t, tenantA))
	asked := b.pass(time.Second)
	for _, skipped := range []int{1, 0} {
		got, err := b.CancelRun(as(tenantA), theRun, 10*time.Second)
		wantNil(t, err)
		wantEqual(t, got, domain.RunCancellation{Pending: 4, Skipped: skipped})
	}
	want := before
	want["none"] = domain.TaskStateSkipped
	wantEqual(t, b.states(t), want)
	if added := b.changes(t, tenantA)[steps:]; len(added) != 1 || added[0].TaskID != "none" || added[0].Revision != int64(steps+1) {
		t.Fatalf("changes %+v", added)
	}
	for name, stopBy := range map[string]time.Time{
		"queued": asked.Add(10 * time.Second), "running": asked.Add(10 * time.Second),
		"retried": asked.Add(10 * time.Second), "cancelling": begin.Add(5 * time.Second),
		"success": {}, "failed": {},
	} {
		attempts, err := b.ListAttempts(as(tenantA), domain.TaskKey{RunKey: theRun, TaskID: name}, 0, 1)
		wantNil(t, err)
		if got := attempts[0].StopBy; !got.Equal(stopBy) {
			t.Errorf("%s must stop by %v; want %v", name, got, stopBy)
		}
	}
	other, err := b.ListAttempts(as(tenantA), domain.TaskKey{RunKey: r.RunKey, TaskID: "running"}, 0, 1)
	wantNil(t, err)
	if !other[0].CancelRequestedAt.IsZero() {
		t.Errorf("a cancel reached another run: %+v", other[0])
	}
}

// mix brings the tasks of a run into the states that their names say.
func (b *bed) mix(t *testing.T, run domain.RunKey) {
	t.Helper()
	key := func(name string) domain.TaskKey { return domain.TaskKey{RunKey: run, TaskID: name} }
	for _, name := range []string{"queued", "running", "success", "failed", "skipped", "cancelling", "retried"} {
		a, err := b.LaunchAttempt(as(tenantA), key(name), domain.NewAttempt{Try: 1})
		wantNil(t, err)
		if state := domain.TaskState(name); state.Reportable() {
			b.mustReport(t, identity(a), state, 0, "")
		}
	}
	_, err := b.LaunchAttempt(as(tenantA), key("retried"), domain.NewAttempt{Try: 2, Supersede: true})
	wantNil(t, err)
	_, err = b.SettleTask(as(tenantA), key("upstream_failed"), domain.TaskStateUpstreamFailed)
	wantNil(t, err)
	_, err = b.CancelTask(as(tenantA), key("cancelling"), 5*time.Second)
	wantNil(t, err)
}

// states returns the states of theRun's tasks.
func (b *bed) states(t *testing.T) map[string]domain.TaskState {
	t.Helper()
	tasks, err := b.ListTasks(as(tenantA), theRun, "", 1000)
	wantNil(t, err)
	out := map[string]domain.TaskState{}
	for _, task := range tasks {
		out[task.TaskID] = task.State
	}
	return out
}

func testCancelMany(t *testing.T, b *bed) {
	r := manyTasks(2_500)
	_, _, err := b.create(as(tenantA), r)
	wantNil(t, err)
	got, err := b.CancelRun(as(tenantA), theRun, time.Minute)
	wantNil(t, err)
	wantEqual(t, got, domain.RunCancellation{Skipped: 2_500})
	for after := range int64(2_500) {
		if after%500 != 0 {
			continue
		}
		changes, err := b.RunChanges(as(tenantA), theRun, after, 500)
		wantNil(t, err)
		for i, c := range changes {
			want := int(after) + i
			if c.Revision != int64(want+1) || c.TaskID != fmt.Sprintf("task %d", want) || c.State != domain.TaskStateSkipped {
				t.Fatalf("change %d is %+v", want, c)
			}
		}
	}
}
