package domain

import "errors"

// Sentinels that any layer below the handlers may wrap with %w. Text wrapped
// around a sentinel is private: it is logged and never reaches a client (ERR-1).
var (
	// ErrUnavailable says that the store gave no answer and that a retry may help (STATE-8).
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrNotFound says that the named thing does not exist for this caller; a
	// thing of another tenant is not found either (ISO-3).
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the name is taken by something with other content.
	ErrConflict = errors.New("already exists with other content")
	// ErrPrecondition says that the state of the thing does not allow the call.
	ErrPrecondition = errors.New("not possible in the present state")
	// ErrOtherCaller says that another caller launched the attempt: its idempotency key
	// is another one.
	ErrOtherCaller = errors.New("launched by another caller")
	// ErrUndeclared says that the task did not declare what it asks for (XCOM-5).
	ErrUndeclared = errors.New("not declared by the task")
	// ErrAborted says that another call of the same attempt took over (LOG-13).
	ErrAborted = errors.New("taken over by a newer call")
	// ErrOverloaded says that a bounded queue is full (LIMIT-2).
	ErrOverloaded = errors.New("too much at once")
	// ErrQuota says that the tenant's secrets would take more than [MaxSecretsBytes].
	ErrQuota = errors.New("more than a tenant may store")
	// ErrNoTenant says that a store was asked without a tenant, or for another
	// tenant than the one in the context. It is a fault of the server, never an
	// absence: an absence would read as a definitive "unknown attempt".
	ErrNoTenant = errors.New("no tenant, or a foreign one, in the context")
)

// Termination is the machine-readable reason why an attempt may not go on (BEAT-3).
type Termination string

// The reasons, one for each TerminationReason on the wire.
const (
	TerminationCancelled  Termination = "cancelled"
	TerminationSuperseded Termination = "superseded"
	TerminationFinished   Termination = "finished"
	TerminationLost       Termination = "lost"
	TerminationTimedOut   Termination = "timed_out"
	TerminationUnknown    Termination = "unknown"
)

// notLive is a definitive answer of the store: the attempt may not go on.
type notLive struct{ reason Termination }

func (e *notLive) Error() string { return "attempt is not live: " + string(e.reason) }

// Is makes every reason match ErrNotLive.
func (e *notLive) Is(target error) bool { return target == ErrNotLive }

// ErrNotLive matches, under [errors.Is], each of the sentinels below it. It is never
// returned itself: it carries no reason.
var ErrNotLive = errors.New("attempt is not live")

// The definitive "not live" answers. A store returns one only when it has read
// it; when it could not read, it returns anything else (BEAT-2).
var (
	ErrCancelled  error = &notLive{TerminationCancelled}
	ErrSuperseded error = &notLive{TerminationSuperseded}
	ErrFinished   error = &notLive{TerminationFinished}
	ErrLost       error = &notLive{TerminationLost}
	ErrTimedOut   error = &notLive{TerminationTimedOut}
	ErrUnknown    error = &notLive{TerminationUnknown}
)

// TerminationOf returns the reason carried by a definitive "not live" error, and
// false for every other error and for nil.
func TerminationOf(err error) (Termination, bool) {
	var e *notLive
	if errors.As(err, &e) {
		return e.reason, true
	}
	return "", false
}
