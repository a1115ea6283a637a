package controlrpc

import (
	"context"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// Runs keeps runs, tasks and attempts of the context's tenant. What does not exist,
// or belongs to another tenant, is domain.ErrNotFound (ISO-3).
type Runs interface {
	Launcher
	Canceller
	RunReader
	RunWatcher
}

// Launcher creates runs, and begins and ends what is in them.
type Launcher interface {
	// CreateRun stores a run; created is false where the same one was stored before,
	// but by a call with the same idempotency key, other than empty.
	// It returns domain.ErrConflict where the name is taken by other content.
	CreateRun(ctx context.Context, run domain.NewRun) (stored domain.Run, created bool, err error)
	// LaunchAttempt begins a try, which is one more than the current one, or returns
	// the current one while it is queued. It returns domain.ErrOtherCaller where the
	// current one has another idempotency key, and domain.ErrPrecondition for any other
	// try, and for a live current one unless Supersede.
	LaunchAttempt(ctx context.Context, task domain.TaskKey, attempt domain.NewAttempt) (domain.Attempt, error)
	// SettleAttempt ends a live attempt (STATE-11); settled is false where it had
	// ended before, and then nothing changed.
	SettleAttempt(ctx context.Context, task domain.TaskKey, try int, outcome domain.Settlement) (stored domain.Attempt, settled bool, err error)
	// SettleTask ends a task that has no attempt; settled is false where it was in
	// that state before. In any other state it is domain.ErrPrecondition.
	SettleTask(ctx context.Context, task domain.TaskKey, state domain.TaskState) (settled bool, err error)
	// RetryTask has a task wait for the try after its current one, which try must be
	// (0: none), and settles a live attempt as superseded; changed is false where it
	// waited before. Another current try is domain.ErrPrecondition.
	RetryTask(ctx context.Context, task domain.TaskKey, try int) (changed bool, err error)
}

// Canceller asks what runs to stop. A cancel that is repeated keeps the first
// request, and the earlier deadline.
type Canceller interface {
	// CancelTask makes a cancel pending for the live attempt of a task, to stop within
	// a time from now by the store's clock. A task without an attempt under way is
	// settled as skipped; one that has its outcome stays as it is.
	CancelTask(ctx context.Context, task domain.TaskKey, within time.Duration) (domain.Cancellation, error)
	// CancelRun does so to every task of a run, to all or to none.
	CancelRun(ctx context.Context, run domain.RunKey, within time.Duration) (domain.RunCancellation, error)
}

// RunReader tells what is stored. A list returns at most limit entries, which is at
// least 1; fewer where there are no more.
type RunReader interface {
	// Run returns a run, and how many of its tasks are in which state.
	Run(ctx context.Context, run domain.RunKey) (domain.RunSummary, error)
	// ListRuns lists runs of dagID (empty: of every DAG), the newest first, from the one
	// after that with the number before (0: from the newest). No run is ErrNotFound.
	ListRuns(ctx context.Context, dagID string, before int64, limit int) ([]domain.RunSummary, error)
	// ListTasks lists the tasks of a run in the order of the bytes of their ids, from the
	// one after the id after (empty: from the first).
	ListTasks(ctx context.Context, run domain.RunKey, after string, limit int) ([]domain.TaskSummary, error)
	// ListAttempts lists the attempts of a task, the newest first, from the one before the
	// try before (0: from the newest).
	ListAttempts(ctx context.Context, task domain.TaskKey, before, limit int) ([]domain.Attempt, error)
	// Attempt returns one attempt.
	Attempt(ctx context.Context, task domain.TaskKey, try int) (domain.Attempt, error)
}

// RunWatcher tells what changes.
type RunWatcher interface {
	// RunChanges returns up to limit changes after a revision, in order.
	RunChanges(ctx context.Context, run domain.RunKey, after int64, limit int) ([]domain.TaskChange, error)
	// RunChanged returns a channel that is closed when this process next changes the
	// run. Take it before RunChanges, so as to miss nothing.
	RunChanged(ctx context.Context, run domain.RunKey) <-chan struct{}
}

// Values reads what tasks pushed.
type Values interface {
	// Fetch returns what key's task pushed in its current try, or [xcom.ErrNotFound].
	Fetch(ctx context.Context, key xcom.Key) (xcom.Entry, error)
}

// Secrets keeps secrets of the context's tenant. Their values go in and never come
// out here. A write is recorded, with who did it, along with its effect.
type Secrets interface {
	// PutVariable returns domain.ErrQuota where the tenant's variables would take more
	// than domain.MaxSecretsBytes together.
	PutVariable(ctx context.Context, by domain.Actor, key, value string) error
	// PutConnection is PutVariable for a connection.
	PutConnection(ctx context.Context, by domain.Actor, id, uri string) error
	// DeleteVariable returns domain.ErrNotFound where there is none.
	DeleteVariable(ctx context.Context, by domain.Actor, key string) error
	// DeleteConnection returns domain.ErrNotFound where there is none.
	DeleteConnection(ctx context.Context, by domain.Actor, id string) error
	// ListVariables lists up to limit names in the order of their bytes, from the one after
	// the name after (empty: from the first), whether that is still there or not.
	ListVariables(ctx context.Context, after string, limit int) ([]domain.SecretName, error)
	// ListConnections is ListVariables for connections.
	ListConnections(ctx context.Context, after string, limit int) ([]domain.SecretName, error)
	// SecretScope returns which secrets tasks get; [secrets.ScopeTenant] where none was set.
	SecretScope(ctx context.Context) (secrets.Scope, error)
	SetSecretScope(ctx context.Context, by domain.Actor, scope secrets.Scope) error
}

// Audit tells who got and who wrote secrets of the context's tenant.
type Audit interface {
	// ListAuditEvents lists up to limit events, the newest first, from the one after that
	// with the number before (0: from the newest).
	ListAuditEvents(ctx context.Context, before int64, limit int) ([]domain.AuditEvent, error)
}

// Tokens verifies operators and mints what their agents get.
type Tokens interface {
	AuthenticateOperator(token string) (*auth.OperatorIdentity, error)
	// MintAttempt returns a token whose life counts from the attempt's launch, however
	// often that is repeated, and domain.ErrPrecondition where that life is over.
	// timeout is the execution time-out of the task; 0: none.
	MintAttempt(id auth.AgentIdentity, launched time.Time, timeout time.Duration) (token string, expires time.Time, err error)
}
