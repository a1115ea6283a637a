package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

var reportTests = []test{
	{"TestState1OtherStatesChangeNothing", testReportOtherStates},
	{"TestState2ReportsMoveTheAttempt", testReportMoves},
	{"TestState2TerminalWithoutRunning", testReportStraight},
	{"TestState3RepeatChangesNothing", testReportRepeat},
	{"TestState3AnyTextIsTaken", testReportAnyText},
	{"TestState3RepeatOfTheSettlingReportAfterANewerTry", testReportRepeatAfterNewer},
	{"TestState4SettledOutcomeStays", testReportSettled},
	{"TestState4ServerSettledTellsWhy", testReportServerSettled},
	{"TestState4SupersededChangesNothing", testReportSuperseded},
	{"TestState5LateRunning", testReportLateRunning},
	{"TestState6MessageIsCut", testReportCut},
	{"TestState6TimesOfTheAgentAreHarmless", testReportTimes},
	{"TestState6CauseOfTheExitCode", testReportCause},
	{"TestState6CauseOfATimeOut", testReportTimedOut},
	{"TestState6NoTimeOutWithinItsTime", testReportWithinTime},
	{"TestState10CancelPending", testReportCancelPending},
	{"TestReportOfAnUnknownAttempt", testReportUnknown},
}

var outcomes = []domain.TaskState{domain.TaskStateSuccess, domain.TaskStateFailed, domain.TaskStateSkipped}

func testReportOtherStates(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.attempt(t, id)
	for _, state := range append(domain.States(), "", "odd") {
		if !state.Reportable() {
			wantError(t, b.report(id, state, 0, ""), domain.ErrPrecondition)
		}
	}
	wantEqual(t, b.attempt(t, id), before)
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued))
}

func testReportMoves(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	started := b.pass(time.Second)
	b.mustReport(t, id, domain.TaskStateRunning, 5, "not an outcome")
	ended := b.pass(time.Second)
	b.mustReport(t, id, domain.TaskStateFailed, 3, "why")
	want := domain.Attempt{
		Ref: id.Attempt(), State: domain.TaskStateFailed, Cause: domain.CauseExitNonzero, ExitCode: 3, Message: "why",
		Timeout: 90 * time.Second, QueuedAt: begin, StartedAt: started, EndedAt: ended,
	}
	wantEqual(t, b.attempt(t, id), want)
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued), plain(1, domain.TaskStateRunning),
		of(1, domain.TaskStateFailed, domain.CauseExitNonzero, 3, "why"))
	if task := b.task(t, tenantA); task.State != domain.TaskStateFailed {
		t.Fatalf("task %+v", task)
	}
}

func testReportStraight(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, state := range outcomes {
		b.mustReport(t, id, state, 0, "")
		if a := b.attempt(t, id); a.State != state || !a.StartedAt.IsZero() || a.EndedAt.IsZero() {
			t.Fatalf("attempt %+v", a)
		}
		id = b.launch(t, tenantA, i+2, false)
	}
}

func testReportRepeat(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	repeat := func(state domain.TaskState, code int, message string) {
		t.Helper()
		b.mustReport(t, id, state, code, message)
		first, steps := b.attempt(t, id), len(b.changes(t, tenantA))
		b.pass(time.Minute)
		wantNil(t, b.ReportStateAt(as(tenantA), id, state, code, message, begin.Add(time.Hour)))
		wantEqual(t, b.attempt(t, id), first)
		if n := len(b.changes(t, tenantA)); n != steps {
			t.Fatalf("%d changes after the repeat of %s, %d before", n, state, steps)
		}
	}
	repeat(domain.TaskStateRunning, 0, "")
	repeat(domain.TaskStateFailed, 3, strings.Repeat("x", domain.MaxErrorMessageBytes+1))
}

// testReportAnyText reports what not every database keeps in a text: the report is taken,
// and known when it comes again.
func testReportAnyText(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	const odd = "a\x00b\xff\xfec ü"
	for range 2 {
		b.mustReport(t, id, domain.TaskStateFailed, 1, odd)
	}
	wantEqual(t, b.attempt(t, id).Message, "a\uFFFDb\uFFFDc ü")
	wantError(t, b.report(id, domain.TaskStateFailed, 1, "a"), domain.ErrFinished)
}

func testReportRepeatAfterNewer(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	b.mustReport(t, id, domain.TaskStateFailed, 3, "why")
	second := b.launch(t, tenantA, 2, false)
	b.mustReport(t, second, domain.TaskStateRunning, 0, "")
	before, steps := b.attempt(t, id), b.changes(t, tenantA)
	wantNil(t, b.report(id, domain.TaskStateFailed, 3, "why"))
	wantError(t, b.report(id, domain.TaskStateFailed, 4, "why"), domain.ErrSuperseded)
	wantError(t, b.report(id, domain.TaskStateSuccess, 0, ""), domain.ErrSuperseded)
	wantEqual(t, b.attempt(t, id), before)
	wantEqual(t, b.changes(t, tenantA), steps)
	if task := b.task(t, tenantA); task.State != domain.TaskStateRunning || task.TryNumber != 2 {
		t.Fatalf("task %+v", task)
	}
}

func testReportSettled(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, settled := range outcomes {
		b.mustReport(t, id, settled, 1, "first")
		before := b.attempt(t, id)
		for _, state := range outcomes {
			b.pass(time.Second)
			wantError(t, b.report(id, state, 2, "first"), domain.ErrFinished)
			wantError(t, b.report(id, state, 1, "second"), domain.ErrFinished)
		}
		wantEqual(t, b.attempt(t, id), before)
		id = b.launch(t, tenantA, i+2, false)
	}
}

func testReportServerSettled(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, c := range []struct {
		cause domain.Cause
		want  error
	}{
		{domain.CauseLost, domain.ErrLost},
		{domain.CauseTimedOut, domain.ErrTimedOut},
		{domain.CauseCancelled, domain.ErrCancelled},
		{domain.CauseLaunchFailed, domain.ErrFinished},
		{domain.CauseExitNonzero, domain.ErrFinished},
	} {
		b.mustSettle(t, id, c.cause)
		before := b.attempt(t, id)
		for _, state := range append([]domain.TaskState{domain.TaskStateRunning}, outcomes...) {
			wantError(t, b.report(id, state, 9, "settled"), c.want) // not the agent's own words
		}
		wantError(t, b.RecordHeartbeat(as(tenantA), id), c.want)
		wantEqual(t, b.attempt(t, id), before)
		id = b.launch(t, tenantA, i+2, false)
	}
}

func testReportSuperseded(t *testing.T, b *bed) {
	first := b.launched(t, tenantA)
	second := b.launch(t, tenantA, 2, true)
	old, current := b.attempt(t, first), b.attempt(t, second)
	for _, state := range append([]domain.TaskState{domain.TaskStateRunning}, outcomes...) {
		wantError(t, b.report(first, state, 0, ""), domain.ErrSuperseded)
	}
	wantEqual(t, b.attempt(t, first), old)
	wantEqual(t, b.attempt(t, second), current)
	b.mustReport(t, second, domain.TaskStateSuccess, 0, "")
}

func testReportLateRunning(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	before := b.attempt(t, id)
	wantError(t, b.report(id, domain.TaskStateRunning, 0, ""), domain.ErrFinished)
	wantEqual(t, b.attempt(t, id), before)
}

func testReportCut(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	b.mustReport(t, id, domain.TaskStateFailed, 1, strings.Repeat("é", domain.MaxErrorMessageBytes))
	want := strings.Repeat("é", domain.MaxErrorMessageBytes/2)
	if got := b.attempt(t, id).Message; got != want {
		t.Fatalf("%d bytes", len(got))
	}
	if got := b.changes(t, tenantA)[1].Message; got != want {
		t.Fatalf("%d bytes in the history", len(got))
	}
}

func testReportTimes(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, at := range []time.Time{
		{},
		time.Unix(-1<<60, 0), time.Unix(1<<60, 0), begin.In(time.FixedZone("", 3600)),
		time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(292_300_000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		wantNil(t, b.ReportStateAt(as(tenantA), id, domain.TaskStateRunning, 0, "", at))
		wantNil(t, b.ReportStateAt(as(tenantA), id, domain.TaskStateSuccess, 0, "", at))
		if a := b.attempt(t, id); !a.StartedAt.Equal(begin) || !a.EndedAt.Equal(begin) {
			t.Fatalf("%v moved the server's times: %+v", at, a)
		}
		id = b.launch(t, tenantA, i+2, false)
	}
}

func testReportCause(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, c := range []struct {
		state domain.TaskState
		code  int
		want  domain.Cause
	}{
		{domain.TaskStateFailed, 1, domain.CauseExitNonzero},
		{domain.TaskStateFailed, 1<<31 - 1, domain.CauseExitNonzero},
		{domain.TaskStateFailed, -1, domain.CauseSignalled},
		{domain.TaskStateFailed, -1 << 31, domain.CauseSignalled},
		{domain.TaskStateFailed, 0, domain.CauseNone},
		{domain.TaskStateSuccess, 7, domain.CauseNone},
		{domain.TaskStateSkipped, -7, domain.CauseNone},
	} {
		b.mustReport(t, id, c.state, c.code, "")
		if a := b.attempt(t, id); a.Cause != c.want || a.ExitCode != c.code {
			t.Fatalf("%s %d: %+v", c.state, c.code, a)
		}
		id = b.launch(t, tenantA, i+2, false)
	}
}

// testReportWithinTime has the task, whose time-out is 90 s, fail after 30 s: its
// agent stamped RUNNING a minute before it was taken, or its clock was set.
func testReportWithinTime(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	wantNil(t, b.ReportStateAt(as(tenantA), id, domain.TaskStateRunning, 0, "", begin))
	b.pass(30 * time.Second)
	wantNil(t, b.ReportStateAt(as(tenantA), id, domain.TaskStateFailed, 1, "", begin.Add(91*time.Second)))
	if a := b.attempt(t, id); a.Cause != domain.CauseExitNonzero {
		t.Fatalf("%q after 30 s", a.Cause)
	}
}

// testReportTimedOut has the task, whose time-out is 90 s, fail after as long by the
// agent's clock, however late the report comes.
func testReportTimedOut(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	ran := func(d time.Duration) time.Time { return begin.Add(time.Hour + d) }
	for i, c := range []struct {
		began, ended time.Time
		code         int
		cancelled    bool
		want         domain.Cause
	}{
		{ran(0), ran(89 * time.Second), -15, false, domain.CauseSignalled},
		{ran(0), ran(90 * time.Second), -15, false, domain.CauseTimedOut},
		{ran(0), ran(90 * time.Second), 0, false, domain.CauseTimedOut},
		{ran(0), ran(time.Hour), 1, true, domain.CauseCancelled},
		{time.Time{}, ran(time.Hour), 1, false, domain.CauseExitNonzero},
		{ran(0), time.Time{}, 1, false, domain.CauseExitNonzero},
		{ran(time.Hour), ran(0), 1, false, domain.CauseExitNonzero},
	} {
		wantNil(t, b.ReportStateAt(as(tenantA), id, domain.TaskStateRunning, 0, "", c.began))
		if c.cancelled {
			b.mustCancel(t, id, b.clock().Add(time.Second))
		}
		b.pass(time.Hour) // the report waits for the store
		wantNil(t, b.ReportStateAt(as(tenantA), id, domain.TaskStateFailed, c.code, "", c.ended))
		if a := b.attempt(t, id); a.Cause != c.want {
			t.Fatalf("%d: %q, want %q", i, a.Cause, c.want)
		}
		id = b.launch(t, tenantA, i+2, false)
	}
}

func testReportCancelPending(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for i, c := range []struct {
		state domain.TaskState
		code  int
		want  domain.Cause
	}{
		{domain.TaskStateSuccess, 0, domain.CauseNone},
		{domain.TaskStateFailed, -15, domain.CauseCancelled},
		{domain.TaskStateFailed, 0, domain.CauseCancelled},
		{domain.TaskStateSkipped, 0, domain.CauseNone},
	} {
		if i%2 == 0 {
			b.mustReport(t, id, domain.TaskStateRunning, 0, "")
		}
		b.mustCancel(t, id, begin.Add(time.Minute))
		before := b.attempt(t, id)
		wantError(t, b.report(id, domain.TaskStateRunning, 0, ""), domain.ErrCancelled)
		wantEqual(t, b.attempt(t, id), before)
		b.mustReport(t, id, c.state, c.code, "")
		if a := b.attempt(t, id); a.State != c.state || a.Cause != c.want || a.ExitCode != c.code {
			t.Fatalf("%s %d: %+v", c.state, c.code, a)
		}
		wantNil(t, b.report(id, c.state, c.code, "")) // STATE-3
		wantError(t, b.RecordHeartbeat(as(tenantA), id), domain.ErrFinished)
		id = b.launch(t, tenantA, i+2, false)
	}
}

func testReportUnknown(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.attempt(t, id)
	for _, wrong := range strangers(id) {
		for _, state := range []domain.TaskState{domain.TaskStateRunning, domain.TaskStateFailed} {
			wantError(t, b.report(wrong, state, 1, ""), domain.ErrUnknown)
		}
	}
	wantEqual(t, b.attempt(t, id), before)
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued))
	other := auth.AgentIdentity{TenantID: tenantA}
	wantError(t, b.report(other, domain.TaskStateRunning, 0, ""), domain.ErrUnknown)
}
