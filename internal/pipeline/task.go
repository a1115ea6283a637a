package pipeline

import (
	"strings"
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// task is a task of the run, as the watch told last.
type task struct {
	id       string
	upstream []*task

	state    domain.TaskState
	try      int
	cause    domain.Cause
	exitCode int
	message  string
	// Zero where it has not happened.
	queuedAt, startedAt, endedAt time.Time

	begun   bool     // launched, or settled without
	attempt *attempt // ours; nil: none
	lost    bool     // a call about it failed: no outcome need ever come
}

// apply takes a change over.
func (t *task) apply(c *controlv1.TaskChange) {
	if int(c.GetTryNumber()) < t.try {
		return // of a try that another one has followed
	}
	state, at := stateOf(c.GetState()), c.GetAt().AsTime()
	switch {
	case state == domain.TaskStateQueued:
		t.queuedAt, t.startedAt, t.endedAt = at, time.Time{}, time.Time{}
	case state == domain.TaskStateRunning:
		t.startedAt = at
	case state.Terminal():
		t.endedAt = at
	}
	t.state, t.try, t.cause = state, int(c.GetTryNumber()), causeOf(c.GetCause())
	t.exitCode, t.message = int(c.GetExitCode()), c.GetMessage()
	if a := t.attempt; a != nil && t.try >= a.try && (state.Terminal() || t.try > a.try) {
		a.settle()
	}
}

// fate is what becomes of a task that has not begun.
type fate int

const (
	fateWait fate = iota
	fateLaunch
	fateSkip // what it waits for was skipped
	fateFail // what it waits for failed
)

// fate tells it from what the task waits for. One failure decides at once; a skip
// only when nothing more can fail, so that the outcome hangs on no race.
func (t *task) fate() fate {
	waiting, skipped := false, false
	for _, up := range t.upstream {
		switch up.state {
		case domain.TaskStateSuccess:
		case domain.TaskStateSkipped:
			skipped = true
		case domain.TaskStateFailed, domain.TaskStateUpstreamFailed:
			return fateFail
		default:
			waiting = true
		}
	}
	switch {
	case waiting:
		return fateWait
	case skipped:
		return fateSkip
	}
	return fateLaunch
}

// doomed reports whether a task that did not begin before the run was stopped
// could not have, because of a failure.
func (t *task) doomed() bool {
	for _, up := range t.upstream {
		switch {
		case up.state == domain.TaskStateFailed, up.state == domain.TaskStateUpstreamFailed:
			return true
		case !up.state.Terminal() && up.attempt == nil && up.doomed():
			return true
		}
	}
	return false
}

// failedUpstream returns the first task that t waits for and that did not succeed.
func (t *task) failedUpstream() string {
	for _, up := range t.upstream {
		if up.state == domain.TaskStateFailed || up.state == domain.TaskStateUpstreamFailed {
			return up.id
		}
	}
	return ""
}

// stateOf is TASK_STATE_X as the domain's word "x"; empty for UNSPECIFIED.
func stateOf(s policyv1.TaskState) domain.TaskState {
	state := domain.TaskState(strings.ToLower(strings.TrimPrefix(s.String(), "TASK_STATE_")))
	if !state.Valid() {
		return ""
	}
	return state
}

// causeOf is CAUSE_X as the domain's word "x"; empty for UNSPECIFIED.
func causeOf(c controlv1.Cause) domain.Cause {
	if c == controlv1.Cause_CAUSE_UNSPECIFIED {
		return domain.CauseNone
	}
	return domain.Cause(strings.ToLower(strings.TrimPrefix(c.String(), "CAUSE_")))
}
