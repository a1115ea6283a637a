package pipeline

import (
	"strings"
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// never is a count of changes that no task has.
const never = -1

// task is a task of the run, as the watch told last, and what the driver does of it.
type task struct {
	id       string
	when     file.When
	retry    file.Retry
	upstream []*task
	below    []*task // those that wait for it

	state    domain.TaskState
	try      int
	cause    domain.Cause
	exitCode int
	message  string
	tries    []span // the tries that the watch told of, in order
	changes  int    // how many the watch told

	attempt *attempt // the last of ours; nil: none
	busy    bool     // a call about it, or an attempt, of ours is under way
	acted   int      // changes when we acted last: no more is done until there is news
	asked   int      // the last try after which we asked for another
	waited  int      // the last try after which we began to wait
	waiting bool     // for the delay of a retry to pass
	lost    bool     // a call about it failed: no outcome need ever come
	stale   bool     // settled without an attempt, by an outcome that holds no more
}

// span is a try as the watch told; times are zero where it has not happened.
type span struct {
	try                    int
	state                  domain.TaskState
	cause                  domain.Cause
	queued, started, ended time.Time
}

// apply takes a change over, and reports whether it told anything.
func (t *task) apply(c *controlv1.TaskChange) bool {
	try := int(c.GetTryNumber())
	if try < t.try {
		return false // of a try that another one has followed
	}
	was := t.outcome()
	t.changes++
	t.state, t.try, t.cause = stateOf(c.GetState()), try, causeOf(c.GetCause())
	t.exitCode, t.message = int(c.GetExitCode()), c.GetMessage()
	t.record(c.GetAt().AsTime())
	if a := t.attempt; a != nil && t.try >= a.try && (!t.state.Live() || t.try > a.try) {
		a.settle(t.state == domain.TaskStateUpForRetry || t.cause == domain.CauseSuperseded || t.try > a.try)
	}
	// It may have been settled after what it waits for was opened again.
	t.stale = t.state == domain.TaskStateUpstreamFailed && t.try == 0 && t.fate() != fateFail
	if was != "" && t.outcome() == "" {
		t.reopenBelow()
	}
	return true
}

// reopenBelow marks what was settled without an attempt and waits for a task that
// somebody has opened again. The control plane knows of inputs alone, so whoever asked
// it to may have left out what the file orders by "after".
func (t *task) reopenBelow() {
	for _, b := range t.below {
		b.stale = b.try == 0 && b.state.Terminal()
	}
}

// record keeps when what happened to the present try.
func (t *task) record(at time.Time) {
	if t.state == domain.TaskStateQueued {
		t.tries = append(t.tries, span{try: t.try, state: t.state, queued: at})
		return
	}
	last := len(t.tries) - 1
	if last < 0 || t.tries[last].try != t.try || !t.tries[last].ended.IsZero() {
		return // not of an attempt
	}
	s := &t.tries[last]
	switch s.state, s.cause = t.state, t.cause; {
	case t.state == domain.TaskStateRunning:
		s.started = at
	case t.state.Terminal():
		s.ended = at
	}
}

// retryDue reports whether the task failed and is to be tried again without being
// asked. What a person ended, or replaced, is not.
func (t *task) retryDue() bool {
	return t.state == domain.TaskStateFailed && t.try > 0 && t.try <= t.retry.Times &&
		t.cause != domain.CauseCancelled && t.cause != domain.CauseSuperseded
}

// outcome is the state of a task that is done; empty where it is not.
func (t *task) outcome() domain.TaskState {
	if !t.state.Terminal() || t.retryDue() {
		return ""
	}
	return t.state
}

// expectant reports whether what we did has not been told of yet.
func (t *task) expectant() bool { return t.acted == t.changes && !t.lost }

// act notes that something is done about the task.
func (t *task) act() { t.busy, t.acted = true, t.changes }

// fate is what becomes of a task that has not begun.
type fate int

const (
	fateWait fate = iota
	fateLaunch
	fateSkip // its rule does not hold, and nothing failed
	fateFail // its rule does not hold, because of a failure
)

// fate tells it from what the task waits for, by its rule. Where the rule wants no
// failure, one decides at once; all else only when all are done, so that the outcome
// hangs on no race.
func (t *task) fate() fate {
	n := map[domain.TaskState]int{}
	for _, up := range t.upstream {
		n[up.outcome()]++
	}
	failed := n[domain.TaskStateFailed]+n[domain.TaskStateUpstreamFailed] > 0
	if failed && (t.when == file.WhenAllSucceeded || t.when == file.WhenNoneFailed) {
		return fateFail
	}
	if n[""] > 0 {
		return fateWait
	}
	holds := true
	switch t.when {
	case file.WhenAllSucceeded:
		holds = n[domain.TaskStateSkipped] == 0
	case file.WhenAnySucceeded:
		holds = n[domain.TaskStateSuccess] > 0
	case file.WhenAnyFailed:
		holds = failed
	case file.WhenAllDone, file.WhenNoneFailed:
	}
	switch {
	case holds:
		return fateLaunch
	case failed:
		return fateFail
	}
	return fateSkip
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
