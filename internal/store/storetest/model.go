package storetest

import (
	"slices"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// model is a run, told by the rules alone: what a store that keeps them holds, and
// what it answers.
type model struct {
	now     time.Time
	run     domain.RunKey
	tasks   []*modelTask
	history []domain.TaskChange
}

// modelTask is a task instance as the rules have it: tries[0] is its first try.
type modelTask struct {
	id, instance string
	state        domain.TaskState
	closed       bool // settled past its attempts, by SettleTask or a cancel
	tries        []*modelAttempt
}

// modelAttempt is an attempt as the rules have it.
type modelAttempt struct {
	domain.Attempt
	key      string // of whoever launched it
	byReport bool   // whether a report settled it
	value    string // what it pushed last; empty: nothing
}

func (a *modelAttempt) cancelling() bool { return a.State.Live() && !a.CancelRequestedAt.IsZero() }

// current returns the attempt of the current try; nil: none was launched.
func (t *modelTask) current() *modelAttempt { return t.try(len(t.tries)) }

// try returns an attempt; nil: there is none.
func (t *modelTask) try(try int) *modelAttempt {
	if try < 1 || try > len(t.tries) {
		return nil
	}
	return t.tries[try-1]
}

// live returns the attempt that awaits its outcome; nil: there is none.
func (t *modelTask) live() *modelAttempt {
	if a := t.current(); a != nil && a.State.Live() {
		return a
	}
	return nil
}

// idle reports whether the task has neither an attempt under way nor an outcome.
func (t *modelTask) idle() bool { return !t.state.Live() && !t.state.Terminal() }

// record moves a task, and adds the move to the history.
func (m *model) record(t *modelTask, c domain.TaskChange) {
	t.state = c.State
	c.Revision, c.TaskID, c.TryNumber, c.At = int64(len(m.history)+1), t.id, len(t.tries), m.now
	m.history = append(m.history, c)
}

// settle gives the live attempt of a task its outcome.
func (m *model) settle(t *modelTask, to domain.Settlement) {
	a := t.current()
	a.State, a.Cause, a.ExitCode, a.Message, a.EndedAt = to.State, to.Cause, to.ExitCode, to.Message, m.now
	m.record(t, domain.TaskChange{State: to.State, Cause: to.Cause, ExitCode: to.ExitCode, Message: to.Message})
}

// close settles a task that is idle.
func (m *model) close(t *modelTask, state domain.TaskState) {
	t.closed = true
	m.record(t, domain.TaskChange{State: state})
}

// refusal is what an agent is told of a try; nil: it may work on.
func (t *modelTask) refusal(try int) error {
	a := t.try(try)
	switch {
	case a == nil:
		return domain.ErrUnknown
	case a.cancelling():
		return domain.ErrCancelled
	case a.State.Live():
		return nil
	case a.Cause == domain.CauseSuperseded || try < len(t.tries):
		return domain.ErrSuperseded
	case a.byReport:
		return domain.ErrFinished
	}
	told, ok := map[domain.Cause]error{
		domain.CauseLost: domain.ErrLost, domain.CauseTimedOut: domain.ErrTimedOut, domain.CauseCancelled: domain.ErrCancelled,
	}[a.Cause]
	if !ok {
		return domain.ErrFinished
	}
	return told
}

// report is STATE-1 to STATE-5 and STATE-10.
func (m *model) report(t *modelTask, try int, state domain.TaskState, code int, message string) error {
	a := t.try(try)
	running := state == domain.TaskStateRunning
	switch {
	case !slices.Contains([]domain.TaskState{"running", "success", "failed", "skipped"}, state):
		return domain.ErrPrecondition
	case a != nil && a.byReport && a.State == state && a.ExitCode == code && a.Message == message:
		return nil
	case a == nil || !a.State.Live() || running && a.cancelling():
		return t.refusal(try)
	case running && a.State == domain.TaskStateRunning:
		return nil
	case running:
		a.State, a.StartedAt = state, m.now
		m.record(t, domain.TaskChange{State: state})
		return nil
	}
	cause := domain.CauseNone
	if state == domain.TaskStateFailed {
		switch {
		case a.cancelling():
			cause = domain.CauseCancelled
		case code < 0:
			cause = domain.CauseSignalled
		case code > 0:
			cause = domain.CauseExitNonzero
		}
	}
	a.byReport = true
	m.settle(t, domain.Settlement{State: state, Cause: cause, ExitCode: code, Message: message})
	return nil
}

// beat is BEAT-1, BEAT-3 and BEAT-4. The stamp of a cancelled attempt moves too.
func (m *model) beat(t *modelTask, try int) error {
	if a := t.try(try); a != nil && a.State.Live() {
		a.HeartbeatAt = m.now
	}
	return t.refusal(try)
}

// register is REG-3.
func (m *model) register(t *modelTask, try int, info domain.AgentInfo) error {
	err := t.refusal(try)
	if err == nil {
		t.try(try).Agent = info
	}
	return err
}

// push is XCOM-6: while a cancel is pending it is taken.
func (m *model) push(t *modelTask, try int, value string) error {
	a := t.try(try)
	if a == nil || !a.State.Live() {
		return t.refusal(try)
	}
	a.value = value
	return nil
}

// cancel returns what the task is then.
func (m *model) cancel(t *modelTask, within time.Duration) domain.Cancellation {
	stopBy := m.now.Add(within)
	switch a := t.live(); {
	case a != nil && !a.cancelling():
		a.CancelRequestedAt, a.StopBy = m.now, stopBy
	case a != nil && a.StopBy.After(stopBy):
		a.StopBy = stopBy
	case t.idle():
		m.close(t, domain.TaskStateSkipped)
	}
	out := domain.Cancellation{State: t.state}
	if a := t.live(); a != nil {
		out.StopBy = a.StopBy
	}
	return out
}

// settleAttempt is STATE-11.
func (m *model) settleAttempt(t *modelTask, try int, to domain.Settlement) (bool, error) {
	a := t.try(try)
	switch {
	case !slices.Contains(outcomes, to.State):
		return false, domain.ErrPrecondition
	case a == nil:
		return false, domain.ErrNotFound
	case a.State.Live():
		m.settle(t, to)
		return true, nil
	}
	return false, nil
}

func (m *model) settleTask(t *modelTask, state domain.TaskState) (bool, error) {
	switch {
	case state != domain.TaskStateSkipped && state != domain.TaskStateUpstreamFailed:
		return false, domain.ErrPrecondition
	case t.idle():
		m.close(t, state)
		return true, nil
	case t.state == state:
		return false, nil
	}
	return false, domain.ErrPrecondition
}

func (m *model) supersede(t *modelTask) {
	m.settle(t, domain.Settlement{State: domain.TaskStateFailed, Cause: domain.CauseSuperseded})
}

func (m *model) retry(t *modelTask, try int) (bool, error) {
	if try != len(t.tries) {
		return false, domain.ErrPrecondition
	}
	if t.state == domain.TaskStateUpForRetry {
		return false, nil
	}
	if t.live() != nil {
		m.supersede(t)
	}
	t.closed = false
	m.record(t, domain.TaskChange{State: domain.TaskStateUpForRetry})
	return true, nil
}

func (m *model) launch(t *modelTask, a domain.NewAttempt) error {
	last := t.current()
	switch {
	case last != nil && a.Try == len(t.tries) && last.key != a.IdempotencyKey:
		return domain.ErrOtherCaller
	case last != nil && a.Try == len(t.tries) && last.State == domain.TaskStateQueued:
		return nil
	case a.Try != len(t.tries)+1, t.live() != nil && !a.Supersede, t.closed:
		return domain.ErrPrecondition
	}
	if t.live() != nil {
		m.supersede(t)
	}
	t.tries = append(t.tries, &modelAttempt{key: a.IdempotencyKey, Attempt: domain.Attempt{
		Ref: domain.AttemptRef{
			TaskInstanceID: t.instance, TenantID: tenantA,
			DagID: m.run.DagID, RunID: m.run.RunID, TaskID: t.id, TryNumber: a.Try,
		},
		State: domain.TaskStateQueued, QueuedAt: m.now,
	}})
	m.record(t, domain.TaskChange{State: domain.TaskStateQueued})
	return nil
}

// reap is BEAT-5: an attempt is settled while it is still as it was seen.
func (m *model) reap(t *modelTask, seen modelAttempt, cause domain.Cause, message string) (bool, error) {
	a := t.try(seen.Ref.TryNumber)
	silent := a.State == seen.State && a.HeartbeatAt.Equal(seen.HeartbeatAt)
	still, known := map[domain.Cause]bool{
		domain.CauseLost:         silent,
		domain.CauseLaunchFailed: silent && a.Agent == domain.AgentInfo{},
		domain.CauseTimedOut:     a.State == seen.State,
		domain.CauseCancelled: a.cancelling() && a.StopBy.Equal(seen.StopBy) &&
			(seen.HeartbeatAt.IsZero() || a.HeartbeatAt.Equal(seen.HeartbeatAt)),
	}[cause]
	switch {
	case !known:
		return false, domain.ErrPrecondition
	case !still || !a.State.Live():
		return false, nil
	}
	m.settle(t, domain.Settlement{State: domain.TaskStateFailed, Cause: cause, Message: message})
	return true, nil
}
