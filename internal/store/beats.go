package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/batch"
	"github.com/neochaotic/leoflow/internal/domain"
)

// outcome is what became of an item among many. Whoever gave one that is alone does it
// again by itself, which tells why it was not done.
type outcome int

const (
	byItself  outcome = iota
	done              // and committed
	cancelled         // done, while a cancel is pending
)

// keyOf names an attempt among those of all tenants.
func keyOf(ref domain.AttemptRef) string {
	return ref.TenantID + "\x00" + ref.TaskInstanceID + "\x00" + strconv.Itoa(ref.TryNumber)
}

// newBeat is the statement that moves the stamps of attempts that await their outcome,
// and tells whether a cancel is pending: what beatAlone does in two.
func (s *Store) newBeat() *many {
	w := s.forMany(s.timed(refColumns...)...)
	w.update(attempt.Table, [2]string{attempt.FieldHeartbeatAt, w.now()})
	return w.own().and(liveState()).done(w.in(attempt.Table, attempt.FieldCancelRequestedAt) + " IS NOT NULL")
}

// newCalmBeat is newBeat for attempts of which no cancel is pending: nearly all. It is for
// SQLite, where what a statement returns costs a table in memory for each row.
func (s *Store) newCalmBeat() *many {
	if s.postgres {
		return nil
	}
	w := s.forMany(s.timed(refColumns...)...)
	w.update(attempt.Table, [2]string{attempt.FieldHeartbeatAt, w.now()})
	return w.own().and(liveState()).and(attempt.CancelRequestedAtIsNil()).told()
}

// beat is RecordHeartbeat among others.
func (s *Store) beat(ctx context.Context, id auth.AgentIdentity) error {
	got, err := gather(ctx, s, s.beats.TryDo, id.Attempt())
	switch {
	case errors.Is(err, batch.ErrFull):
		return fmt.Errorf("%w: %w", domain.ErrUnavailable, err)
	case err != nil:
		return err
	case got == cancelled:
		return domain.ErrCancelled
	case got == done:
		return nil
	}
	return s.beatAlone(ctx, id)
}

// writeBeats moves the stamps of many attempts. The commit need not reach the disk: a
// stamp that is lost is one that the next heartbeat brings.
func (s *Store) writeBeats(ctx context.Context, refs []domain.AttemptRef) ([]outcome, error) {
	rows, now := make([][]any, len(refs)), s.stamp()
	for i, ref := range refs {
		rows[i] = append(refRow(ref), now...)
	}
	out := make([]outcome, len(refs))
	err := s.hasty.write(ctx, func(t gathered) error {
		if calm := s.statements.calmBeat; calm != nil {
			if err := t.do(call{calm, rows, nil, func(n int) { out[n] = done }}); err != nil {
				return err
			}
		}
		left, of := undone(rows, out)
		var pending bool
		return t.last(call{s.statements.beat, left, []any{&pending}, func(n int) {
			if out[of[n]] = done; pending {
				out[of[n]] = cancelled
			}
		}})
	})
	return unheld(out, err)
}

// undone are those of the rows that were not done, and which they are.
func undone(rows [][]any, out []outcome) (left [][]any, of []int) {
	for i, row := range rows {
		if out[i] != done {
			left, of = append(left, row), append(of, i)
		}
	}
	return left, of
}

// unheld has the items done by themselves when they waited for a row, or a table, that another
// transaction holds: the others need not wait.
func unheld[R any](out []R, err error) ([]R, error) {
	if held(err) {
		return make([]R, len(out)), nil
	}
	return out, err
}
