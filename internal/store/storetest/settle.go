package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

var settleTests = []test{
	{"TestState11SettleAnAttempt", testSettle},
	{"TestState11SettledBeforeStays", testSettleBefore},
	{"TestState11SettleNeedsAnOutcome", testSettleStates},
	{"TestState11SettleWhatIsMissing", testSettleMissing},
	{"TestSettleTask", testSettleTask},
	{"TestSettleTaskWithAnAttempt", testSettleTaskWithAttempt},
}

func testSettle(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	at := b.pass(time.Second)
	to := domain.Settlement{
		State: domain.TaskStateFailed, Cause: domain.CauseLost, ExitCode: -9,
		Message: strings.Repeat("é", domain.MaxErrorMessageBytes),
	}
	got, settled, err := b.SettleAttempt(as(tenantA), theTask, 1, to)
	if err != nil || !settled {
		t.Fatalf("settled %v, %v", settled, err)
	}
	wantEqual(t, got, domain.Attempt{
		Ref: id.Attempt(), State: domain.TaskStateFailed, Cause: domain.CauseLost, ExitCode: -9,
		Message: strings.Repeat("é", domain.MaxErrorMessageBytes/2),
		Timeout: 90 * time.Second, QueuedAt: begin, EndedAt: at,
	})
	wantEqual(t, b.attempt(t, id), got)
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued), of(1, got.State, got.Cause, -9, got.Message))
	if task := b.task(t, tenantA); task.State != domain.TaskStateFailed {
		t.Fatalf("task %+v", task)
	}
}

func testSettleBefore(t *testing.T, b *bed) {
	first := b.launched(t, tenantA)
	b.mustReport(t, first, domain.TaskStateFailed, 3, "said")
	second := b.launch(t, tenantA, 2, false)
	steps := b.changes(t, tenantA)
	want := b.attempt(t, first)
	b.pass(time.Second)
	got, settled, err := b.SettleAttempt(as(tenantA), theTask, 1, domain.Settlement{State: domain.TaskStateFailed, Cause: domain.CauseLost})
	if err != nil || settled {
		t.Fatalf("settled %v, %v", settled, err)
	}
	wantEqual(t, got, want)
	wantEqual(t, b.changes(t, tenantA), steps)
	wantNil(t, b.RecordHeartbeat(as(tenantA), second))
}

func testSettleStates(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.attempt(t, id)
	for _, state := range append(domain.States(), "", "odd") {
		if state.Terminal() && state.Reportable() {
			continue
		}
		_, _, err := b.SettleAttempt(as(tenantA), theTask, 1, domain.Settlement{State: state})
		wantError(t, err, domain.ErrPrecondition)
	}
	wantEqual(t, b.attempt(t, id), before)
}

func testSettleMissing(t *testing.T, b *bed) {
	b.launched(t, tenantA)
	to := domain.Settlement{State: domain.TaskStateFailed}
	for _, key := range missing() {
		_, _, err := b.SettleAttempt(as(tenantA), key, 1, to)
		wantError(t, err, domain.ErrNotFound)
		_, err = b.Attempt(as(tenantA), key, 1)
		wantError(t, err, domain.ErrNotFound)
	}
	for _, try := range []int{0, 2} {
		_, _, err := b.SettleAttempt(as(tenantA), theTask, try, to)
		wantError(t, err, domain.ErrNotFound)
		_, err = b.Attempt(as(tenantA), theTask, try)
		wantError(t, err, domain.ErrNotFound)
	}
}

func testSettleTask(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	for _, state := range append(domain.States(), "", "odd") {
		if state != domain.TaskStateSkipped && state != domain.TaskStateUpstreamFailed {
			_, err := b.SettleTask(as(tenantA), theTask, state)
			wantError(t, err, domain.ErrPrecondition)
		}
	}
	for _, want := range []bool{true, false, false} {
		settled, err := b.SettleTask(as(tenantA), theTask, domain.TaskStateUpstreamFailed)
		if err != nil || settled != want {
			t.Fatalf("settled %v, %v; want %v", settled, err, want)
		}
	}
	_, err = b.SettleTask(as(tenantA), theTask, domain.TaskStateSkipped)
	wantError(t, err, domain.ErrPrecondition)
	b.wantSteps(t, tenantA, plain(0, domain.TaskStateUpstreamFailed))
	for _, key := range missing() {
		_, err := b.SettleTask(as(tenantA), key, domain.TaskStateSkipped)
		wantError(t, err, domain.ErrNotFound)
	}
}

func testSettleTaskWithAttempt(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	refused := func() {
		t.Helper()
		for _, state := range []domain.TaskState{domain.TaskStateSkipped, domain.TaskStateUpstreamFailed} {
			_, err := b.SettleTask(as(tenantA), theTask, state)
			wantError(t, err, domain.ErrPrecondition)
		}
	}
	refused()
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	refused()
	b.mustReport(t, id, domain.TaskStateFailed, 1, "")
	refused()
	if a := b.attempt(t, id); a.State != domain.TaskStateFailed {
		t.Fatalf("attempt %+v", a)
	}
}
