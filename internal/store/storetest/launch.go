package storetest

import (
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

var launchTests = []test{
	{"TestLaunchBeginsTheNextTry", testLaunch},
	{"TestLaunchAgainWhileQueuedIsTheSameAttempt", testLaunchAgain},
	{"TestLaunchAgainByAnotherCallerIsRefused", testLaunchOtherCaller},
	{"TestLaunchNeedsTheNextTry", testLaunchOrder},
	{"TestLaunchOverALiveTryNeedsSupersede", testLaunchSupersede},
	{"TestLaunchAfterAnOutcomeStartsANewPath", testLaunchAfterOutcome},
	{"TestLaunchOfASettledTask", testLaunchSettledTask},
	{"TestLaunchOfWhatIsMissing", testLaunchMissing},
}

func testLaunch(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	wantEqual(t, b.attempt(t, id), domain.Attempt{
		Ref: domain.AttemptRef{
			TaskInstanceID: theRun.DagID + "/" + theRun.RunID + "/2", TenantID: tenantA,
			DagID: theRun.DagID, RunID: theRun.RunID, TaskID: theTask.TaskID, TryNumber: 1,
		},
		State: domain.TaskStateQueued, Timeout: 90 * time.Second, QueuedAt: begin,
	})
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued))
	if at := b.changes(t, tenantA)[0].At; !at.Equal(begin) {
		t.Fatalf("at %v", at)
	}
}

func testLaunchAgain(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	first := b.attempt(t, id)
	b.pass(time.Minute)
	for _, supersede := range []bool{false, true} {
		again, err := b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: 1, Supersede: supersede})
		wantNil(t, err)
		wantEqual(t, again, first)
	}
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	_, err := b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: 1})
	wantError(t, err, domain.ErrPrecondition)
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued), plain(1, domain.TaskStateRunning))
}

// testLaunchOtherCaller launches the current try with each key that it was not launched
// with, the empty one among them.
func testLaunchOtherCaller(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	keys := []string{"ann's", "", "bob's"}
	for i, own := range keys {
		try := i + 1
		own := domain.NewAttempt{Try: try, Supersede: true, IdempotencyKey: own}
		first, err := b.LaunchAttempt(as(tenantA), theTask, own)
		wantNil(t, err)
		steps := b.changes(t, tenantA)
		for _, state := range []domain.TaskState{domain.TaskStateQueued, domain.TaskStateRunning} {
			for _, key := range keys {
				again, err := b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: try, Supersede: true, IdempotencyKey: key})
				switch {
				case key != own.IdempotencyKey:
					wantError(t, err, domain.ErrOtherCaller)
				case state == domain.TaskStateQueued:
					wantNil(t, err)
					wantEqual(t, again, first)
				default:
					wantError(t, err, domain.ErrPrecondition)
				}
			}
			wantEqual(t, b.changes(t, tenantA), steps)
			b.mustReport(t, identity(first), domain.TaskStateRunning, 0, "")
			steps = b.changes(t, tenantA)
		}
	}
}

func testLaunchOrder(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	for _, try := range []int{-1, 0, 2, 3} {
		_, err := b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: try, Supersede: true})
		wantError(t, err, domain.ErrPrecondition)
	}
	b.wantSteps(t, tenantA)
	id := b.launch(t, tenantA, 1, false)
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	for _, try := range []int{0, 1, 3} {
		_, err := b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: try, Supersede: true})
		wantError(t, err, domain.ErrPrecondition)
	}
}

func testLaunchSupersede(t *testing.T, b *bed) {
	first := b.launched(t, tenantA)
	b.mustReport(t, first, domain.TaskStateRunning, 0, "")
	_, err := b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: 2})
	wantError(t, err, domain.ErrPrecondition)
	at := b.pass(time.Minute)
	second := b.launch(t, tenantA, 2, true)
	b.wantSteps(t, tenantA,
		plain(1, domain.TaskStateQueued), plain(1, domain.TaskStateRunning),
		of(1, domain.TaskStateFailed, domain.CauseSuperseded, 0, ""), plain(2, domain.TaskStateQueued))
	old := b.attempt(t, first)
	if old.State != domain.TaskStateFailed || old.Cause != domain.CauseSuperseded || !old.EndedAt.Equal(at) {
		t.Fatalf("superseded: %+v", old)
	}
	if task := b.task(t, tenantA); task.TryNumber != 2 || task.State != domain.TaskStateQueued {
		t.Fatalf("task %+v", task)
	}
	wantNil(t, b.RecordHeartbeat(as(tenantA), second))
	wantError(t, b.RecordHeartbeat(as(tenantA), first), domain.ErrSuperseded)
}

func testLaunchAfterOutcome(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, state := range []domain.TaskState{domain.TaskStateFailed, domain.TaskStateSkipped, domain.TaskStateSuccess} {
		b.mustReport(t, id, state, 0, "")
		id = b.launch(t, tenantA, i+2, i%2 == 0) // nothing is live to supersede
	}
	b.mustSettle(t, id, domain.CauseLost)
	b.launch(t, tenantA, 5, false)
	for _, c := range b.changes(t, tenantA) {
		if c.Cause == domain.CauseSuperseded {
			t.Fatalf("superseded: %+v", c)
		}
	}
}

func testLaunchSettledTask(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	_, err = b.SettleTask(as(tenantA), theTask, domain.TaskStateSkipped)
	wantNil(t, err)
	_, err = b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: 1, Supersede: true})
	wantError(t, err, domain.ErrPrecondition)
}

func testLaunchMissing(t *testing.T, b *bed) {
	b.launched(t, tenantA)
	for _, key := range missing() {
		_, err := b.LaunchAttempt(as(tenantA), key, domain.NewAttempt{Try: 1})
		wantError(t, err, domain.ErrNotFound)
	}
}

// missing returns keys of tasks that do not exist.
func missing() []domain.TaskKey {
	dag, run, task := theTask, theTask, theTask
	dag.DagID, run.RunID, task.TaskID = "x", "x", "x"
	return []domain.TaskKey{dag, run, task}
}
