package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/sethvargo/go-retry"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/predicate"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// ReportState is ReportStateAt without the agent's time.
func (s *Store) ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, errMsg string) error {
	return s.ReportStateAt(ctx, id, state, exitCode, errMsg, time.Time{})
}

// ReportStateAt stores an agent's report, and when it happened by the agent's clock
// (STATE-6); zero: not known. It is on disk when the call returns nil (STATE-2).
//
// A repeat of an accepted report is nil and changes nothing (STATE-3). Otherwise a
// report against a settled attempt (STATE-4, STATE-5), and RUNNING while a cancel
// is pending (STATE-10), change nothing and are a definitive domain.ErrNotLive. A
// state that no agent may report is domain.ErrPrecondition (STATE-1). A terminal
// report waits for a database that fails for now, until ctx ends (STATE-8).
func (s *Store) ReportStateAt(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, errMsg string, at time.Time) error {
	if err := within(ctx, id.TenantID); err != nil {
		return err
	}
	if !state.Reportable() {
		return fmt.Errorf("%w: %q is no agent's report", domain.ErrPrecondition, state)
	}
	r := report{
		ref: id.Attempt(), state: state, exitCode: exitCode,
		message: stored(errMsg, domain.MaxErrorMessageBytes), at: clamped(at),
	}
	store := func(ctx context.Context) error { return s.storeReport(ctx, r) }
	if state.Terminal() {
		return s.outlast(ctx, store)
	}
	return store(ctx)
}

// The waits between two tries of a write that has to outlast a failing store.
const (
	firstWait = 50 * time.Millisecond
	maxWait   = time.Second
)

// outlast calls store until the database takes the write or ctx ends: an agent that
// reports its end may not come again (STATE-8). A store that was closed takes none.
func (s *Store) outlast(ctx context.Context, store func(context.Context) error) error {
	waits := retry.WithCappedDuration(maxWait, retry.NewExponential(firstWait))
	waiting := false
	err := retry.Do(ctx, waits, func(ctx context.Context) error {
		err := store(ctx)
		if !errors.Is(err, domain.ErrUnavailable) || errors.Is(err, errClosed) || ctx.Err() != nil {
			return err
		}
		if !waiting {
			waiting = true
			s.logger.WarnContext(ctx, "a terminal report waits for the database", "cause", err.Error())
		}
		return retry.RetryableError(err)
	})
	return explain(err)
}

// store applies the report in a transaction, or says why it does not.
func (r report) store(ctx context.Context, tx *txn) error {
	n, err := r.apply(ctx, tx)
	if err != nil {
		return err
	}
	row, err := findOwn(ctx, tx.Tx, r.ref)
	if err != nil {
		return err
	}
	if n == 1 {
		return tx.moved(ctx, row)
	}
	return r.refusal(ctx, tx, row)
}

// report is what an agent said.
type report struct {
	ref      domain.AttemptRef
	state    domain.TaskState
	exitCode int
	message  string
	at       *int64
}

// apply moves the attempt if its state allows it, and returns 1 then, else 0.
func (r report) apply(ctx context.Context, tx *txn) (int, error) {
	if r.state == domain.TaskStateRunning {
		return tx.Attempt.Update().Where(own(r.ref), takes(r.state)).
			SetState(r.state).SetStartedAt(tx.now).SetNillableRunningOccurredAt(r.at).Save(ctx)
	}
	update := tx.Attempt.Update().Where(own(r.ref), takes(r.state)).
		SetState(r.state).SetExitCode(r.exitCode).SetMessage(r.message).SetSettledByReport(true).
		SetEndedAt(tx.now).SetNillableEndedOccurredAt(r.at)
	if r.state == domain.TaskStateFailed {
		update.Modify(func(u *sql.UpdateBuilder) {
			u.Set(attempt.FieldCause, sql.ExprFunc(func(b *sql.Builder) { r.cause(b, tx.now) }))
		})
	}
	return update.Save(ctx)
}

// takes is the guard of a report: the attempt's state allows it. A pending cancel bars
// RUNNING (STATE-10).
func takes(state domain.TaskState) predicate.Attempt {
	if state == domain.TaskStateRunning {
		return attempt.And(unsettled(state), attempt.CancelRequestedAtIsNil())
	}
	return unsettled(state)
}

// cause writes the expression of why the attempt failed, which the row's own columns
// decide in the statement that settles it: a pending cancel first (STATE-10), then
// an execution time-out that was over by the agent's own clock, which no report can
// say in a field, then the exit code. The store's clock must not deny it by more than
// a hundredth: the agent's may be set, or its RUNNING stamped long before it was taken.
func (r report) cause(b *sql.Builder, now int64) {
	if r.at == nil {
		writeCause(b, nil, nil, literal(causeOfExit(r.exitCode)))
		return
	}
	writeCause(b, func() { b.Arg(*r.at) }, func() { b.Arg(now) }, literal(causeOfExit(r.exitCode)))
}

// writeCause is cause, given what writes the agent's time (nil: not known) and the
// store's, and the cause that the exit code tells.
func writeCause(b *sql.Builder, at, now func(), ofExit string) {
	b.WriteString("CASE WHEN ").Ident(attempt.FieldCancelRequestedAt).WriteString(" IS NOT NULL THEN " + literal(domain.CauseCancelled))
	if at != nil {
		b.WriteString(" WHEN ").Ident(attempt.FieldTimeoutSeconds).WriteString(" > 0 AND ")
		at()
		b.WriteString(" - ").Ident(attempt.FieldRunningOccurredAt).WriteString(" >= ").
			Ident(attempt.FieldTimeoutSeconds).WriteString(" * 1000000 AND ")
		now()
		b.WriteString(" - ").Ident(attempt.FieldStartedAt).WriteString(" >= ").
			Ident(attempt.FieldTimeoutSeconds).WriteString(" * 990000 THEN " + literal(domain.CauseTimedOut))
	}
	b.WriteString(" ELSE " + ofExit + " END")
}

// literal is a word of ours in SQL.
func literal[T ~string](word T) string { return "'" + string(word) + "'" }

// causeOfExit says why a task failed, from its exit code: agents report a signal
// as a negative one.
func causeOfExit(code int) domain.Cause {
	switch {
	case code < 0:
		return domain.CauseSignalled
	case code > 0:
		return domain.CauseExitNonzero
	}
	return domain.CauseNone
}

// refusal says why a report did not move the attempt.
func (r report) refusal(ctx context.Context, tx *txn, row *ent.Attempt) error {
	if !row.State.Live() {
		if r.repeats(row) {
			return nil
		}
		return ended(ctx, tx.Tx, row)
	}
	if r.state != domain.TaskStateRunning {
		return errStillLive
	}
	switch {
	case row.CancelRequestedAt != nil:
		return domain.ErrCancelled
	case row.State == domain.TaskStateRunning:
		return nil
	}
	return errStillLive
}

// repeats reports whether r is the very report that settled the attempt. The time
// that it names may differ: the first one stays.
func (r report) repeats(row *ent.Attempt) bool {
	return row.SettledByReport && r.state == row.State && r.exitCode == row.ExitCode && r.message == row.Message
}

// ended returns why a settled attempt may not go on: a newer try began, or how the
// server settled it, or that it reported its end itself.
func ended(ctx context.Context, tx *ent.Tx, row *ent.Attempt) error {
	if row.Cause == domain.CauseSuperseded {
		return domain.ErrSuperseded
	}
	newer, err := tx.TaskInstance.Query().
		Where(taskinstance.ID(row.TaskPk), taskinstance.CurrentTryGT(row.Try)).Exist(ctx)
	if err != nil {
		return err
	}
	switch {
	case newer:
		return domain.ErrSuperseded
	case row.SettledByReport:
		return domain.ErrFinished
	}
	switch row.Cause {
	case domain.CauseLost:
		return domain.ErrLost
	case domain.CauseTimedOut:
		return domain.ErrTimedOut
	case domain.CauseCancelled:
		return domain.ErrCancelled
	}
	return domain.ErrFinished
}
