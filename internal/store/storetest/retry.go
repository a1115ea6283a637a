package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

var retryTests = []test{
	{"TestRetryAfterAnOutcome", testRetryAfterOutcome},
	{"TestState4RetrySupersedesALiveAttempt", testRetrySupersedes},
	{"TestRetryAgainChangesNothing", testRetryAgain},
	{"TestRetryNeedsTheCurrentTry", testRetryOfAnotherTry},
	{"TestRetryOpensASettledTask", testRetrySettledTask},
	{"TestRetryThenSettledIsSettled", testRetryThenSettled},
	{"TestCancelOfATaskUpForRetrySkipsIt", testRetryCancelled},
	{"TestRetryEndsAPendingCancel", testRetryEndsCancel},
	{"TestXcom7RetryServesTheCurrentTry", testRetryXCom},
	{"TestRetryOfWhatIsMissing", testRetryMissing},
	{"TestState9RetryAndReportRace", testRetryRace},
}

// mustRetry retries theTask after try.
func (b *bed) mustRetry(t *testing.T, tenant string, try int) {
	t.Helper()
	if changed, err := b.RetryTask(as(tenant), theTask, try); err != nil || !changed {
		t.Fatalf("retry after try %d: changed %v, %v", try, changed, err)
	}
	if task := b.task(t, tenant); task.State != domain.TaskStateUpForRetry || task.TryNumber != try {
		t.Fatalf("task %+v", task)
	}
}

func testRetryAfterOutcome(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, state := range outcomes {
		b.mustReport(t, id, state, 0, "said")
		before, steps := b.attempt(t, id), b.changes(t, tenantA)
		changed := b.RunChanged(as(tenantA), theRun)
		at := b.pass(time.Second)
		b.mustRetry(t, tenantA, i+1)
		wantClosed(t, changed)
		wantEqual(t, b.attempt(t, id), before)
		wantEqual(t, b.changes(t, tenantA), append(steps, domain.TaskChange{
			Revision: int64(len(steps) + 1), TaskID: theTask.TaskID, TryNumber: i + 1,
			State: domain.TaskStateUpForRetry, At: at,
		}))
		// The attempt is as it was to its agent: it has ended (STATE-3, BEAT-4).
		wantNil(t, b.report(id, state, 0, "said"))
		wantError(t, b.RecordHeartbeat(as(tenantA), id), domain.ErrFinished)
		id = b.launch(t, tenantA, i+2, false)
	}
	wantNil(t, b.RecordHeartbeat(as(tenantA), id))
}

// testRetrySupersedes holds an attempt to the answers of a superseded one before and
// after the next try is launched: until then it is still the task's current try.
func testRetrySupersedes(t *testing.T, b *bed) {
	first := b.launched(t, tenantA)
	b.mustReport(t, first, domain.TaskStateRunning, 0, "")
	at := b.pass(time.Minute)
	b.mustRetry(t, tenantA, 1)
	b.wantSteps(t, tenantA,
		plain(1, domain.TaskStateQueued), plain(1, domain.TaskStateRunning),
		of(1, domain.TaskStateFailed, domain.CauseSuperseded, 0, ""), plain(1, domain.TaskStateUpForRetry))
	stored := b.attempt(t, first)
	if stored.State != domain.TaskStateFailed || stored.Cause != domain.CauseSuperseded || !stored.EndedAt.Equal(at) {
		t.Fatalf("superseded: %+v", stored)
	}
	told := func(tries int) {
		t.Helper()
		before := b.see(t, first, tries)
		b.pass(time.Second)
		for _, state := range domain.TaskStateQueued.Next() {
			wantError(t, b.report(first, state, 0, ""), domain.ErrSuperseded)
		}
		wantError(t, b.RecordHeartbeat(as(tenantA), first), domain.ErrSuperseded)
		wantError(t, b.RegisterAgent(as(tenantA), first, domain.AgentInfo{Version: "v"}), domain.ErrSuperseded)
		e := xcom.Entry{Value: []byte("late"), CreatedAt: begin}
		wantError(t, b.PutXCom(as(tenantA), first.Attempt(), "return_value", e, begin.Add(time.Hour)), domain.ErrSuperseded)
		by := first.Attempt()
		_, err := b.GetXCom(as(tenantA), xcomKey(first), &by, begin)
		wantError(t, err, domain.ErrSuperseded)
		_, err = b.DeliverVariables(as(tenantA), first)
		wantError(t, err, domain.ErrSuperseded)
		_, settled, err := b.SettleAttempt(as(tenantA), theTask, 1, domain.Settlement{State: domain.TaskStateFailed, Cause: domain.CauseLost})
		if err != nil || settled {
			t.Fatalf("settled %v, %v", settled, err)
		}
		if until, err := b.MayLog(as(tenantA), first); err != nil || !until.Equal(at.Add(domain.LogGrace)) {
			t.Fatalf("may log until %v, %v", until, err)
		}
		wantEqual(t, b.see(t, first, tries), before)
	}
	told(1)
	second := b.launch(t, tenantA, 2, false)
	told(2)
	wantNil(t, b.RecordHeartbeat(as(tenantA), second))
}

func testRetryAgain(t *testing.T, b *bed) {
	b.launched(t, tenantA)
	b.mustRetry(t, tenantA, 1)
	steps := b.changes(t, tenantA)
	changed, err := b.RetryTask(as(tenantA), theTask, 1)
	if err != nil || changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	wantEqual(t, b.changes(t, tenantA), steps)
}

func testRetryOfAnotherTry(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for range 2 {
		before := b.see(t, id, 1)
		for _, try := range []int{-1, 0, 2} {
			_, err := b.RetryTask(as(tenantA), theTask, try)
			wantError(t, err, domain.ErrPrecondition)
		}
		wantEqual(t, b.see(t, id, 1), before)
		_, err := b.RetryTask(as(tenantA), theTask, 1)
		wantNil(t, err)
	}
	second := b.launch(t, tenantA, 2, false)
	_, err := b.RetryTask(as(tenantA), theTask, 1)
	wantError(t, err, domain.ErrPrecondition)
	wantNil(t, b.RecordHeartbeat(as(tenantA), second))
}

func testRetrySettledTask(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	_, err = b.SettleTask(as(tenantA), theTask, domain.TaskStateUpstreamFailed)
	wantNil(t, err)
	b.mustRetry(t, tenantA, 0)
	id := b.launch(t, tenantA, 1, false)
	wantNil(t, b.RecordHeartbeat(as(tenantA), id))
	b.wantSteps(t, tenantA,
		plain(0, domain.TaskStateUpstreamFailed), plain(0, domain.TaskStateUpForRetry), plain(1, domain.TaskStateQueued))
}

// testRetryThenSettled holds that what settles a task after its retry counts, also
// where the attempt before had the same outcome.
func testRetryThenSettled(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, outcome := range outcomes {
		b.mustReport(t, id, outcome, 0, "")
		for _, state := range []domain.TaskState{domain.TaskStateSkipped, domain.TaskStateUpstreamFailed} {
			b.mustRetry(t, tenantA, i+1)
			settled, err := b.SettleTask(as(tenantA), theTask, state)
			if err != nil || !settled {
				t.Fatalf("settled %v, %v", settled, err)
			}
			_, err = b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: i + 2, Supersede: true})
			wantError(t, err, domain.ErrPrecondition)
			if task := b.task(t, tenantA); task.State != state {
				t.Fatalf("task %+v", task)
			}
		}
		b.mustRetry(t, tenantA, i+1)
		id = b.launch(t, tenantA, i+2, false)
	}
}

func testRetryCancelled(t *testing.T, b *bed) {
	b.launched(t, tenantA)
	other := domain.TaskKey{RunKey: theRun, TaskID: "second in the alphabet"}
	_, err := b.RetryTask(as(tenantA), other, 0)
	wantNil(t, err)
	b.mustRetry(t, tenantA, 1)
	got, err := b.CancelTask(as(tenantA), theTask, time.Minute)
	wantNil(t, err)
	wantEqual(t, got, domain.Cancellation{State: domain.TaskStateSkipped})
	run, err := b.CancelRun(as(tenantA), theRun, time.Minute)
	wantNil(t, err)
	wantEqual(t, run, domain.RunCancellation{Skipped: 1})
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued),
		step{Task: other.TaskID, State: domain.TaskStateUpForRetry},
		of(1, domain.TaskStateFailed, domain.CauseSuperseded, 0, ""), plain(1, domain.TaskStateUpForRetry),
		plain(1, domain.TaskStateSkipped), step{Task: other.TaskID, State: domain.TaskStateSkipped})
	_, err = b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: 2, Supersede: true})
	wantError(t, err, domain.ErrPrecondition)
}

func testRetryEndsCancel(t *testing.T, b *bed) {
	first := b.launched(t, tenantA)
	b.mustCancel(t, first, begin.Add(time.Minute))
	b.mustRetry(t, tenantA, 1)
	if a := b.attempt(t, first); a.Cause != domain.CauseSuperseded {
		t.Fatalf("attempt %+v", a)
	}
	if _, pending, err := b.StopBy(as(tenantA), first); err != nil || pending {
		t.Fatalf("pending %v, %v", pending, err)
	}
	wantError(t, b.RecordHeartbeat(as(tenantA), first), domain.ErrSuperseded)
	second := b.launch(t, tenantA, 2, false)
	wantNil(t, b.RecordHeartbeat(as(tenantA), second))
	if a := b.attempt(t, second); !a.CancelRequestedAt.IsZero() || !a.StopBy.IsZero() {
		t.Fatalf("attempt %+v", a)
	}
	run, err := b.CancelRun(as(tenantA), theRun, time.Minute)
	wantNil(t, err)
	if run.Pending != 1 {
		t.Fatalf("run %+v", run)
	}
}

func testRetryXCom(t *testing.T, b *bed) {
	first := b.launched(t, tenantA)
	e := xcom.Entry{Value: []byte("of the first"), CreatedAt: begin}
	wantNil(t, b.PutXCom(as(tenantA), first.Attempt(), "return_value", e, begin.Add(time.Hour)))
	b.mustRetry(t, tenantA, 1)
	got, err := b.GetXCom(as(tenantA), xcomKey(first), nil, begin)
	if err != nil || string(got.Value) != "of the first" {
		t.Fatalf("while it waits: %q, %v", got.Value, err)
	}
	b.launch(t, tenantA, 2, false)
	_, err = b.GetXCom(as(tenantA), xcomKey(first), nil, begin)
	wantError(t, err, xcom.ErrNotFound)
}

func testRetryMissing(t *testing.T, b *bed) {
	b.launched(t, tenantA)
	for _, key := range missing() {
		_, err := b.RetryTask(as(tenantA), key, 1)
		wantError(t, err, domain.ErrNotFound)
	}
}

// testRetryRace has an attempt report its end while it is retried: it either
// succeeded first, or was superseded and is told so.
func testRetryRace(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for try := 1; try <= 8; try++ {
		var wg sync.WaitGroup
		var reported error
		changed := make([]bool, 3)
		wg.Go(func() { reported = b.report(id, domain.TaskStateSuccess, 0, "") })
		for i := range changed {
			wg.Go(func() {
				var err error
				if changed[i], err = b.RetryTask(as(tenantA), theTask, try); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(changed); n != 1 {
			t.Fatalf("retried %d times", n)
		}
		switch a := b.attempt(t, id); {
		case a.State == domain.TaskStateSuccess && reported == nil:
		case a.Cause == domain.CauseSuperseded && errors.Is(reported, domain.ErrSuperseded):
		default:
			t.Fatalf("told %v; stored %+v", reported, a)
		}
		if task := b.task(t, tenantA); task.State != domain.TaskStateUpForRetry {
			t.Fatalf("task %+v", task)
		}
		id = b.launch(t, tenantA, try+1, false)
	}
	wantPath(t, b.changes(t, tenantA))
}

// count returns how many are true.
func count(flags []bool) (n int) {
	for _, flag := range flags {
		if flag {
			n++
		}
	}
	return n
}
