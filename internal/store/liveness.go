package store

import (
	"context"
	"errors"
	"time"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// RecordHeartbeat moves the liveness stamp of a live attempt (BEAT-1), by the
// store's clock. For any other it is a definitive domain.ErrNotLive (BEAT-3) and
// nothing changes (BEAT-4); but while a cancel is pending the stamp moves too: the
// agent is there, and stopping.
func (s *Store) RecordHeartbeat(ctx context.Context, id auth.AgentIdentity) error {
	if err := within(ctx, id.TenantID); err != nil {
		return err
	}
	if s.beats != nil {
		return s.beat(ctx, id)
	}
	return s.beatAlone(ctx, id)
}

func (s *Store) beatAlone(ctx context.Context, id auth.AgentIdentity) error {
	// The stamp of a cancelled attempt must be committed along with the refusal.
	var cancelled bool
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		cancelled = false
		n, err := tx.Attempt.Update().Where(own(id.Attempt()), live()).SetHeartbeatAt(tx.now).Save(ctx)
		if err != nil || n == 1 {
			return err
		}
		if err := refusal(ctx, tx.Tx, id.Attempt()); !errors.Is(err, domain.ErrCancelled) {
			return err
		}
		n, err = tx.Attempt.Update().Where(own(id.Attempt()), liveState()).SetHeartbeatAt(tx.now).Save(ctx)
		if err == nil && n == 0 {
			return domain.ErrCancelled // settled so by the server
		}
		cancelled = true
		return err
	})
	if err == nil && cancelled {
		return domain.ErrCancelled
	}
	return err
}

// refusal says why an attempt is not live: a definitive domain.ErrNotLive, or
// errStillLive where it is.
func refusal(ctx context.Context, tx *ent.Tx, ref domain.AttemptRef) error {
	row, err := findOwn(ctx, tx, ref)
	switch {
	case err != nil:
		return err
	case !row.State.Live():
		return ended(ctx, tx, row)
	case row.CancelRequestedAt != nil:
		return domain.ErrCancelled
	}
	return errStillLive
}

// RegisterAgent stores what the agent of a live attempt says about itself, cut at
// 256 bytes each; the last one stays (REG-2). Any other attempt is a definitive
// domain.ErrNotLive (REG-3).
func (s *Store) RegisterAgent(ctx context.Context, id auth.AgentIdentity, info domain.AgentInfo) error {
	if err := within(ctx, id.TenantID); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, tx *txn) error {
		n, err := tx.Attempt.Update().Where(own(id.Attempt()), live()).
			SetAgentVersion(stored(info.Version, domain.MaxAgentInfoBytes)).
			SetHostname(stored(info.Hostname, domain.MaxAgentInfoBytes)).Save(ctx)
		if err != nil || n == 1 {
			return err
		}
		return refusal(ctx, tx.Tx, id.Attempt())
	})
}

// fence lets a write through only while its attempt awaits its outcome: it takes
// the attempt's row for the rest of the transaction, so that nobody settles it in
// between. A pending cancel stops it unless stopping may still do it.
func (tx *txn) fence(ctx context.Context, ref domain.AttemptRef, stopping bool) (*ent.Attempt, error) {
	guard := live()
	if stopping {
		guard = liveState()
	}
	n, err := tx.Attempt.Update().Where(own(ref), guard).AddFence(1).Save(ctx)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, refusal(ctx, tx.Tx, ref)
	}
	return findOwn(ctx, tx.Tx, ref)
}

// StopBy returns by when an attempt with a pending cancel must have stopped; false
// when none is pending. An attempt that does not exist is domain.ErrUnknown.
func (s *Store) StopBy(ctx context.Context, id auth.AgentIdentity) (time.Time, bool, error) {
	row, err := s.ownAttempt(ctx, id)
	if err != nil || !row.State.Live() || row.CancelRequestedAt == nil {
		return time.Time{}, false, err
	}
	return laterInstant(row.CancelStopBy), true, nil
}

// TaskSpec returns the specification that the attempt's task was created with
// (SPEC-1, SPEC-2), whatever the attempt's state. An attempt that does not exist
// is domain.ErrUnknown. The caller does not change what it gets: others get it too.
func (s *Store) TaskSpec(ctx context.Context, id auth.AgentIdentity) (domain.TaskSpec, error) {
	if err := within(ctx, id.TenantID); err != nil {
		return domain.TaskSpec{}, err
	}
	ref := id.Attempt()
	spec, known, err := s.knownSpec(ctx, ref)
	if known || err != nil {
		return spec, err
	}
	text, err := s.specText(ctx, ref)
	if err != nil {
		return domain.TaskSpec{}, err
	}
	return s.specs.read(ref, text)
}

// knownSpec returns a specification that is remembered.
func (s *Store) knownSpec(ctx context.Context, ref domain.AttemptRef) (domain.TaskSpec, bool, error) {
	end, err := s.begin()
	if err == nil {
		defer end()
		err = ctx.Err()
	}
	if err != nil {
		return domain.TaskSpec{}, false, explain(err)
	}
	return s.specs.get(ref)
}

// specText returns a specification as it is stored.
func (s *Store) specText(ctx context.Context, ref domain.AttemptRef) (text []byte, err error) {
	if s.specReads != nil {
		if text, err = gather(ctx, s, s.specReads.Do, ref); err != nil || text != nil {
			return text, err
		}
	}
	err = s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		task, err := tx.Attempt.Query().Where(own(ref)).QueryOfTask().Only(ctx)
		if none(err) {
			return domain.ErrUnknown
		}
		if err == nil {
			text = task.Spec
		}
		return err
	})
	return text, err
}

func (s *Store) ownAttempt(ctx context.Context, id auth.AgentIdentity) (row *ent.Attempt, err error) {
	if err := within(ctx, id.TenantID); err != nil {
		return nil, err
	}
	err = s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		row, err = findOwn(ctx, tx, id.Attempt())
		return err
	})
	return row, err
}
