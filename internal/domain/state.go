package domain

import "slices"

// TaskState is the state of a task instance or of one of its attempts.
type TaskState string

// The states. An attempt is only ever queued, running, success, failed or
// skipped; the others are states of a task instance that has no attempt under way.
const (
	TaskStateNone           TaskState = "none"
	TaskStateScheduled      TaskState = "scheduled"
	TaskStateQueued         TaskState = "queued"
	TaskStateRunning        TaskState = "running"
	TaskStateSuccess        TaskState = "success"
	TaskStateFailed         TaskState = "failed"
	TaskStateSkipped        TaskState = "skipped"
	TaskStateUpstreamFailed TaskState = "upstream_failed"
	TaskStateUpForRetry     TaskState = "up_for_retry"
)

// transition is one row of the state table.
type transition struct {
	from TaskState
	to   []TaskState
}

// transitions is the state table. The protos publish the same table as options
// on the values of leoflow.policy.v1.TaskState, and a test holds the two equal.
// A state without successors is terminal: an attempt in it is settled (STATE-5).
var transitions = []transition{
	{TaskStateNone, []TaskState{TaskStateScheduled, TaskStateQueued, TaskStateSkipped, TaskStateUpstreamFailed}},
	{TaskStateScheduled, []TaskState{TaskStateQueued, TaskStateSkipped, TaskStateUpstreamFailed}},
	{TaskStateQueued, []TaskState{TaskStateRunning, TaskStateSuccess, TaskStateFailed, TaskStateSkipped}},
	{TaskStateRunning, []TaskState{TaskStateSuccess, TaskStateFailed, TaskStateSkipped}},
	{TaskStateSuccess, nil},
	{TaskStateFailed, nil},
	{TaskStateSkipped, nil},
	{TaskStateUpstreamFailed, nil},
	{TaskStateUpForRetry, []TaskState{TaskStateQueued, TaskStateSkipped, TaskStateUpstreamFailed}},
}

// States lists every state in the order of the table.
func States() []TaskState {
	out := make([]TaskState, len(transitions))
	for i, t := range transitions {
		out[i] = t.from
	}
	return out
}

// Next lists the states that s may become; nil for a terminal or unknown state.
// The caller owns the slice.
func (s TaskState) Next() []TaskState {
	for _, t := range transitions {
		if t.from == s {
			return slices.Clone(t.to)
		}
	}
	return nil
}

// Valid reports whether s is a state of the table.
func (s TaskState) Valid() bool {
	return slices.ContainsFunc(transitions, func(t transition) bool { return t.from == s })
}

// Terminal reports whether s is a state that never changes again.
func (s TaskState) Terminal() bool { return s.Valid() && len(s.Next()) == 0 }

// Live reports whether an attempt in state s still awaits its outcome. Whether
// it may work on also depends on a pending cancel, which is not a state.
func (s TaskState) Live() bool { return s == TaskStateQueued || s == TaskStateRunning }

// Reportable reports whether an agent may report s (STATE-1).
func (s TaskState) Reportable() bool {
	return slices.Contains(TaskStateQueued.Next(), s)
}

// Sources lists the states that may become to: the guard of every conditional
// statement that moves an attempt is made from it (STATE-2, STATE-5).
func Sources(to TaskState) []TaskState {
	var from []TaskState
	for _, t := range transitions {
		if slices.Contains(t.to, to) {
			from = append(from, t.from)
		}
	}
	return from
}

// Cause says why an attempt ended other than by success. Empty: no cause applies
// or none is known.
type Cause string

// The causes that an attempt's outcome can have.
const (
	CauseNone           Cause = ""
	CauseExitNonzero    Cause = "exit_nonzero"    // the task's process returned a code other than 0
	CauseSignalled      Cause = "signalled"       // the task's process died of a signal
	CauseTimedOut       Cause = "timed_out"       // the execution time-out ran out
	CauseCancelled      Cause = "cancelled"       // somebody asked for a cancel, and the task did not succeed before it
	CauseLost           Cause = "lost"            // the agent died or fell silent without a word
	CauseSuperseded     Cause = "superseded"      // a newer attempt of the same task began
	CauseLaunchFailed   Cause = "launch_failed"   // the agent's process never started
	CauseRejectedOutput Cause = "rejected_output" // the return value was refused
)

// Causes lists every cause but the empty one.
func Causes() []Cause {
	return []Cause{
		CauseExitNonzero, CauseSignalled, CauseTimedOut, CauseCancelled,
		CauseLost, CauseSuperseded, CauseLaunchFailed, CauseRejectedOutput,
	}
}
