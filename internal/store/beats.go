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
	var pending bool
	err := s.hasty.writeOne(ctx, call{s.statements.beat, rows, []any{&pending}, func(n int) {
		if out[n] = done; pending {
			out[n] = cancelled
		}
	}})
	return unheld(out, err)
}

// unheld has the items done by themselves when they waited for a row that another transaction
// holds: the others need not wait.
func unheld(out []outcome, err error) ([]outcome, error) {
	if held(err) {
		return make([]outcome, len(out)), nil
	}
	return out, err
}
