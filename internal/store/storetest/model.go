package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

var modelTests = []test{{"TestState9AgreesWithTheModel", testModel}}

// modelAttempt is an attempt as the rules have it.
type modelAttempt struct {
	state      domain.TaskState
	cause      domain.Cause
	code       int
	message    string
	byReport   bool
	cancelling bool
}

// model is one task, told by the rules alone: tries[0] is the first try.
type model struct {
	tries []modelAttempt
	steps int // of the history
}

func (m *model) current() *modelAttempt { return &m.tries[len(m.tries)-1] }

// ended is what a settled try is told.
func (m *model) ended(try int) error {
	a := m.tries[try-1]
	switch {
	case a.cause == domain.CauseSuperseded || try < len(m.tries):
		return domain.ErrSuperseded
	case a.byReport:
		return domain.ErrFinished
	case a.cause == domain.CauseLost:
		return domain.ErrLost
	case a.cause == domain.CauseTimedOut:
		return domain.ErrTimedOut
	case a.cause == domain.CauseCancelled:
		return domain.ErrCancelled
	}
	return domain.ErrFinished
}

// settle gives a live try its outcome.
func (m *model) settle(a *modelAttempt, to modelAttempt) {
	to.cancelling = a.cancelling
	*a = to
	m.steps++
}

// report returns what an agent's report of a try is answered.
func (m *model) report(try int, state domain.TaskState, code int, message string) error {
	if try > len(m.tries) {
		return domain.ErrUnknown
	}
	a := &m.tries[try-1]
	switch {
	case a.byReport && a.state == state && a.code == code && a.message == message:
		return nil
	case !a.state.Live():
		return m.ended(try)
	case state == domain.TaskStateRunning && a.cancelling:
		return domain.ErrCancelled
	case state == domain.TaskStateRunning:
		if a.state != state {
			a.state = state
			m.steps++
		}
		return nil
	}
	cause := domain.CauseNone
	if state == domain.TaskStateFailed {
		switch {
		case a.cancelling:
			cause = domain.CauseCancelled
		case code < 0:
			cause = domain.CauseSignalled
		case code > 0:
			cause = domain.CauseExitNonzero
		}
	}
	m.settle(a, modelAttempt{state: state, cause: cause, code: code, message: message, byReport: true})
	return nil
}

// live returns what a beat of a try is answered.
func (m *model) live(try int) error {
	switch {
	case try > len(m.tries):
		return domain.ErrUnknown
	case !m.tries[try-1].state.Live():
		return m.ended(try)
	case m.tries[try-1].cancelling:
		return domain.ErrCancelled
	}
	return nil
}

// cancel returns whether a cancel is then pending.
func (m *model) cancel() bool {
	last := m.current()
	last.cancelling = last.cancelling || last.state.Live()
	return last.state.Live()
}

func (m *model) launch(try int, supersede bool) error {
	last := m.current()
	switch {
	case try == len(m.tries) && last.state == domain.TaskStateQueued:
		return nil
	case try != len(m.tries)+1, last.state.Live() && !supersede:
		return domain.ErrPrecondition
	}
	if last.state.Live() {
		m.settle(last, modelAttempt{state: domain.TaskStateFailed, cause: domain.CauseSuperseded})
	}
	m.tries = append(m.tries, modelAttempt{state: domain.TaskStateQueued})
	m.steps++
	return nil
}

func testModel(t *testing.T, b *bed) {
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		key := domain.TaskKey{RunKey: domain.RunKey{DagID: "model", RunID: fmt.Sprint(runs)}, TaskID: "t"}
		r, _, err := b.create(as(tenantA), domain.NewRun{RunKey: key.RunKey, Tasks: []domain.TaskDefinition{{TaskID: "t"}}})
		if err != nil {
			t.Fatalf("create: %v", err)
		}
		if _, err := b.LaunchAttempt(as(tenantA), key, domain.NewAttempt{Try: 1}); err != nil {
			t.Fatalf("launch: %v", err)
		}
		d := &driven{
			bed: b, key: key, model: model{tries: []modelAttempt{{state: domain.TaskStateQueued}}, steps: 1},
			instance: r.Tasks[0].TaskInstanceID,
		}
		t.Repeat(map[string]func(*rapid.T){
			"report": d.report, "beat": d.beat, "cancel": d.cancel, "settle": d.settle, "launch": d.launch,
		})
		d.agree(t)
	})
}

// driven is a store and its model, which do the same.
type driven struct {
	bed      *bed
	key      domain.TaskKey
	instance string
	model    model
}

// aTry draws a try: mostly one that is there, sometimes the next.
func (d *driven) aTry(t *rapid.T) int { return rapid.IntRange(1, len(d.model.tries)+1).Draw(t, "try") }

func (d *driven) identity(try int) auth.AgentIdentity {
	return auth.AgentIdentity{
		TaskInstanceID: d.instance, TenantID: tenantA,
		DagID: d.key.DagID, RunID: d.key.RunID, TaskID: d.key.TaskID, TryNumber: try,
	}
}

func same(t *rapid.T, what string, got, want error) {
	if !errors.Is(got, want) {
		t.Fatalf("%s: %v; the model says %v", what, got, want)
	}
}

func (d *driven) report(t *rapid.T) {
	try := d.aTry(t)
	state := rapid.SampledFrom(domain.TaskStateQueued.Next()).Draw(t, "state")
	code := rapid.IntRange(-1, 1).Draw(t, "code")
	message := rapid.SampledFrom([]string{"", "m"}).Draw(t, "message")
	d.bed.pass(time.Millisecond)
	same(t, "report", d.bed.report(d.identity(try), state, code, message), d.model.report(try, state, code, message))
}

func (d *driven) beat(t *rapid.T) {
	try := d.aTry(t)
	same(t, "beat", d.bed.RecordHeartbeat(as(tenantA), d.identity(try)), d.model.live(try))
}

func (d *driven) cancel(t *rapid.T) {
	var pending bool
	if rapid.Bool().Draw(t, "the whole run") {
		got, err := d.bed.CancelRun(as(tenantA), d.key.RunKey, time.Minute)
		same(t, "cancel run", err, nil)
		pending = got == domain.RunCancellation{Pending: 1}
	} else {
		got, err := d.bed.CancelTask(as(tenantA), d.key, time.Minute)
		same(t, "cancel task", err, nil)
		pending = !got.StopBy.IsZero() && got.State == d.model.current().state
	}
	if want := d.model.cancel(); pending != want {
		t.Fatalf("cancel pending: %v; the model says %v", pending, want)
	}
}

func (d *driven) settle(t *rapid.T) {
	try := d.aTry(t)
	cause := rapid.SampledFrom(domain.Causes()).Draw(t, "cause")
	to := domain.Settlement{State: domain.TaskStateFailed, Cause: cause, ExitCode: 1}
	_, settled, err := d.bed.SettleAttempt(as(tenantA), d.key, try, to)
	if try > len(d.model.tries) {
		same(t, "settle", err, domain.ErrNotFound)
		return
	}
	a := &d.model.tries[try-1]
	if err != nil || settled != a.state.Live() {
		t.Fatalf("settle: %v, %v; the model says %v", settled, err, a.state)
	}
	if settled {
		d.model.settle(a, modelAttempt{state: to.State, cause: cause, code: 1})
	}
}

func (d *driven) launch(t *rapid.T) {
	try, supersede := d.aTry(t), rapid.Bool().Draw(t, "supersede")
	_, err := d.bed.LaunchAttempt(as(tenantA), d.key, domain.NewAttempt{Try: try, Supersede: supersede})
	same(t, "launch", err, d.model.launch(try, supersede))
}

// agree compares what is stored with the model.
func (d *driven) agree(t *rapid.T) {
	for i, want := range d.model.tries {
		a, err := d.bed.Attempt(as(tenantA), d.key, i+1)
		if err != nil {
			t.Fatalf("try %d: %v", i+1, err)
		}
		if a.State != want.state || a.Cause != want.cause || a.ExitCode != want.code || a.Message != want.message {
			t.Fatalf("try %d is %+v; the model says %+v", i+1, a, want)
		}
		_, pending, err := d.bed.StopBy(as(tenantA), d.identity(i+1))
		if err != nil || pending != (want.cancelling && want.state.Live()) {
			t.Fatalf("try %d: cancel pending %v, %v; the model says %+v", i+1, pending, err, want)
		}
	}
	changes, err := d.bed.RunChanges(as(tenantA), d.key.RunKey, 0, 1000)
	if err != nil || len(changes) != d.model.steps {
		t.Fatalf("%d changes, %v; the model says %d", len(changes), err, d.model.steps)
	}
	d.bed.wantPath(t, changes)
	if last := changes[len(changes)-1]; last.State != d.model.current().state || last.TryNumber != len(d.model.tries) {
		t.Fatalf("the last change is %+v; the model says %+v", last, d.model.current())
	}
}
