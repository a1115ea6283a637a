package domain

import "time"

// AttemptRef names one try of one task instance, with every identifier that its
// token carries.
type AttemptRef struct {
	TaskInstanceID, TenantID, DagID, RunID, TaskID string
	TryNumber                                      int // from 1
}

// TaskSpec is what an agent needs to run a task.
type TaskSpec struct {
	Operator         string
	Entrypoint       string
	DagVersion       string
	Environment      map[string]string
	XComInputMapping map[string][]string // parameter -> ordered upstream task ids (1, or N for a fan-in)
	XComSchema       map[string]any      // JSON Schema of the return value; nil: unchecked
	TimeoutSeconds   int                 // 0: none
	CallArgsJSON     string
}

// DefaultXComKey is the key of a task's return value; an empty key means it (XCOM-1).
const DefaultXComKey = "return_value"

// Declares reports whether the specification names task as the source of an input (XCOM-5).
func (s *TaskSpec) Declares(task string) bool {
	for _, sources := range s.XComInputMapping {
		for _, source := range sources {
			if source == task {
				return true
			}
		}
	}
	return false
}

// RunKey names a run within the tenant of the context.
type RunKey struct{ DagID, RunID string }

// TaskKey names a task of a run within the tenant of the context.
type TaskKey struct {
	RunKey
	TaskID string
}

// TaskDefinition is a task as it is created with its run.
type TaskDefinition struct {
	TaskID string
	Spec   TaskSpec
	// Variables and Connections are what the task declares to need. They bind
	// only under the declared secret scope (SECRET-3).
	Variables, Connections []string
}

// NewRun is a run to be created.
type NewRun struct {
	RunKey
	DagVersion string
	Tasks      []TaskDefinition
	// IdempotencyKey is the caller's own word for this creation; empty: none. It is no
	// part of the content.
	IdempotencyKey string
}

// NewAttempt is a try of a task to be launched.
type NewAttempt struct {
	Try       int // from 1
	Supersede bool
	// IdempotencyKey is the caller's own word for this launch; empty: none.
	IdempotencyKey string
}

// Run is a run as stored.
type Run struct {
	RunKey
	DagVersion string
	CreatedAt  time.Time
	Tasks      []Task
}

// Task is a task instance with its current try.
type Task struct {
	TaskInstanceID string
	TaskID         string
	State          TaskState
	TryNumber      int // 0: never launched
}

// Attempt is an attempt as stored.
type Attempt struct {
	Ref      AttemptRef
	State    TaskState
	Cause    Cause
	ExitCode int
	Message  string
	Timeout  time.Duration // execution time-out of the task; 0: none
	// Zero where it has not happened.
	QueuedAt, StartedAt, EndedAt, HeartbeatAt time.Time
	// When a cancel was asked for, and by when the attempt must have stopped; zero:
	// nobody asked.
	CancelRequestedAt, StopBy time.Time
	Agent                     AgentInfo // empty before it registers
}

// Settlement is the outcome that whoever launched an attempt gives it when its
// process died without a word (STATE-11).
type Settlement struct {
	State    TaskState
	Cause    Cause
	ExitCode int
	Message  string
}

// Cancellation is what a cancel of a task came to.
type Cancellation struct {
	State  TaskState
	StopBy time.Time // zero where no cancel is pending
}

// RunCancellation is what a cancel of a run came to.
type RunCancellation struct {
	Pending int // attempts with a pending cancel, those of earlier cancels included
	Skipped int // tasks that this cancel settled
}

// TaskChange is one entry of a run's history. Revisions count from 1 within a
// run, without holes, in the order in which the changes were committed.
type TaskChange struct {
	Revision  int64
	TaskID    string
	TryNumber int
	State     TaskState
	Cause     Cause
	ExitCode  int
	Message   string
	At        time.Time
}

// AgentInfo is what an agent says about itself on registering.
type AgentInfo struct{ Version, Hostname string }
