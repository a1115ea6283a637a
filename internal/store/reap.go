package store

import (
	"context"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/predicate"
	"github.com/neochaotic/leoflow/internal/domain"
)

// liveAtOnce is how many attempts one statement of liveAttempts reads: the database does
// something else between two of them, and little is in memory.
const liveAtOnce = 2_000

// liveAttempts reads the index of those without an end, at one moment though in several
// statements. On SQLite it reads a range of it: keys grow in the order of the commits, as
// there is one writer, and a settled attempt stays settled: whatever lies before the first
// live one need not be read again. On PostgreSQL an attempt may be committed after others
// with greater keys.
func (s *Store) liveAttempts(ctx context.Context, tx *ent.Tx, from int64, visit func(domain.Attempt, bool)) (int64, error) {
	first := int64(0)
	for next := from; ; {
		rows, err := liveFrom(ctx, tx, next)
		if err != nil {
			return from, err
		}
		for _, row := range rows {
			visit(liveOf(row))
		}
		if len(rows) > 0 && first == 0 {
			first = rows[0].ID
		}
		if len(rows) < liveAtOnce {
			break
		}
		next = rows[len(rows)-1].ID + 1
	}
	switch {
	case s.postgres:
		return 0, nil
	case first > 0:
		return first, nil
	}
	last, err := tx.Attempt.Query().Where(attempt.IDGTE(from)).Order(ent.Desc(attempt.FieldID)).FirstID(ctx)
	switch {
	case none(err):
		return from, nil
	case err != nil:
		return from, err
	}
	return last + 1, nil
}

// liveFrom is one statement of liveAttempts.
func liveFrom(ctx context.Context, tx *ent.Tx, id int64) ([]*ent.Attempt, error) {
	return tx.Attempt.Query().Where(attempt.IDGTE(id), attempt.EndedAtIsNil(), liveState()).Order(attempt.ByID()).Limit(liveAtOnce).
		Select(
			attempt.FieldTenant, attempt.FieldInstanceID, attempt.FieldTry, attempt.FieldState,
			attempt.FieldTimeoutSeconds, attempt.FieldQueuedAt, attempt.FieldStartedAt, attempt.FieldHeartbeatAt,
			attempt.FieldCancelRequestedAt, attempt.FieldCancelStopBy,
			attempt.FieldAgentVersion, attempt.FieldHostname,
		).All(ctx)
}

// liveOf is what LiveAttempts tells of an attempt.
func liveOf(row *ent.Attempt) (a domain.Attempt, registered bool) {
	return domain.Attempt{
		Ref:      domain.AttemptRef{TenantID: row.Tenant, TaskInstanceID: row.InstanceID, TryNumber: row.Try},
		State:    row.State,
		Timeout:  time.Duration(row.TimeoutSeconds) * time.Second,
		QueuedAt: instant(row.QueuedAt), StartedAt: laterInstant(row.StartedAt), HeartbeatAt: laterInstant(row.HeartbeatAt),
		CancelRequestedAt: laterInstant(row.CancelRequestedAt), StopBy: laterInstant(row.CancelStopBy),
	}, row.AgentVersion != "" || row.Hostname != ""
}

// ProbeWrite writes, durably, something without a meaning to an attempt, whatever
// its state: nil says that the store is writable. An attempt that does not exist
// any more is domain.ErrUnknown, and says nothing.
func (s *Store) ProbeWrite(ctx context.Context, ref domain.AttemptRef) error {
	if err := within(ctx, ref.TenantID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, tx *txn) error {
		n, err := tx.Attempt.Update().Where(named(ref)).AddFence(1).Save(ctx)
		if err == nil && n == 0 {
			return domain.ErrUnknown
		}
		return err
	})
}

// ReapAttempt settles an attempt as failed with a cause, if it is still as it was
// seen by LiveAttempts, and reports whether it did; else nothing changes. It is one
// conditional write, so that of several reapers one settles, and a sign of life that
// came between wins (BEAT-5). What must still be so depends on the cause:
//   - lost: the state, and exactly the heartbeat stamp;
//   - launch_failed: that, and that no agent has registered;
//   - timed_out: the state;
//   - cancelled: a cancel is pending, with the deadline that was seen; and the heartbeat
//     stamp, unless seen has none: it is then over however its agent beats.
//
// Another cause is domain.ErrPrecondition. The message is cut at 16 KiB.
func (s *Store) ReapAttempt(ctx context.Context, seen domain.Attempt, cause domain.Cause, message string) (bool, error) {
	if err := within(ctx, seen.Ref.TenantID); err != nil {
		return false, err
	}
	still, err := unchanged(seen, cause)
	if err != nil {
		return false, err
	}
	var settled bool
	err = s.write(ctx, func(ctx context.Context, tx *txn) error {
		match := []predicate.Attempt{named(seen.Ref), unsettled(domain.TaskStateFailed), liveState(), attempt.And(still...)}
		settled = false
		if free, err := tx.free(ctx, match...); err != nil || !free {
			return err
		}
		n, err := tx.Attempt.Update().Where(match...).
			SetState(domain.TaskStateFailed).SetCause(cause).
			SetMessage(stored(message, domain.MaxErrorMessageBytes)).
			SetEndedAt(tx.now).Save(ctx)
		if settled = err == nil && n == 1; !settled {
			return err
		}
		row, err := tx.Attempt.Query().Where(named(seen.Ref)).Only(ctx)
		if err != nil {
			return err
		}
		return tx.moved(ctx, row)
	})
	return settled && err == nil, err
}

// unchanged matches an attempt that still has what makes cause true.
func unchanged(seen domain.Attempt, cause domain.Cause) ([]predicate.Attempt, error) {
	same := []predicate.Attempt{attempt.StateEQ(seen.State)}
	switch cause {
	case domain.CauseLost:
		return append(same, beatAt(seen.HeartbeatAt)), nil
	case domain.CauseLaunchFailed:
		return append(same, beatAt(seen.HeartbeatAt), attempt.AgentVersion(""), attempt.Hostname("")), nil
	case domain.CauseTimedOut:
		return same, nil
	case domain.CauseCancelled:
		pending := []predicate.Attempt{attempt.CancelRequestedAtNotNil(), attempt.CancelStopBy(seen.StopBy.UnixMicro())}
		if !seen.HeartbeatAt.IsZero() {
			pending = append(pending, beatAt(seen.HeartbeatAt))
		}
		return pending, nil
	}
	return nil, fmt.Errorf("%w: nothing is reaped as %q", domain.ErrPrecondition, cause)
}

// beatAt matches an attempt whose last heartbeat was at exactly that stamp; zero: none.
func beatAt(stamp time.Time) predicate.Attempt {
	if stamp.IsZero() {
		return attempt.HeartbeatAtIsNil()
	}
	return attempt.HeartbeatAt(stamp.UnixMicro())
}

// named matches the attempt by its shortest name.
func named(ref domain.AttemptRef) predicate.Attempt {
	return attempt.And(attempt.Tenant(ref.TenantID), attempt.InstanceID(ref.TaskInstanceID), attempt.Try(ref.TryNumber))
}
