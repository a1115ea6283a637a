package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/internal/batch"
	"github.com/neochaotic/leoflow/internal/domain"
)

// WritePath says how the writes that agents make all the time go to the database.
type WritePath string

// The ways.
const (
	// Batched: those that come while the last ones are being committed go together.
	Batched WritePath = "batched"
	// Direct: each by itself. It is what Batched is held against.
	Direct WritePath = "direct"
)

const (
	// beatsWithin bounds a write of heartbeats: nobody waits longer for one (BEAT-2).
	beatsWithin = 2 * time.Second
	// linger is how long a write waits for those whose last answers have just gone out.
	linger = time.Millisecond
	// heldTimeout is how long many items wait on PostgreSQL for a row of one of them.
	heldTimeout = 100 * time.Millisecond
)

// maxFetched is how many values are read together, or specifications. They do not wait for
// others: those who have just been answered are better served while these are read.
const maxFetched = 64

// openGathering begins to gather what is written over those connections, and read. The
// commits over hasty need not wait for the disk.
func (s *Store) openGathering(durable, hasty, fetching *gathering) {
	s.statements = s.newStatements()
	s.durable, s.hasty, s.fetching = durable, hasty, fetching
	s.beats = batch.New(batch.Config[domain.AttemptRef, outcome]{
		Write: s.writeBeats, Key: keyOf, Judge: judge, Timeout: beatsWithin, Linger: linger,
	})
	s.deeds = batch.New(batch.Config[deed, outcome]{
		Write: s.writeDeeds, Key: deed.key, Judge: judge, Linger: linger,
	})
	s.fetches = batch.New(batch.Config[wanted, fetched]{
		Write: s.readWanted, Judge: judge, MaxBatch: maxFetched,
	})
	s.specReads = batch.New(batch.Config[domain.AttemptRef, []byte]{
		Write: s.readSpecs, Judge: judge, MaxBatch: maxFetched,
	})
	s.ends = batch.New(batch.Config[domain.AttemptRef, attemptEnd]{Write: s.readEnds, Judge: judge})
}

// closeGathering ends it, when no call is under way any more.
func (s *Store) closeGathering() error {
	var errs []error
	if s.beats != nil {
		errs = append(errs, s.beats.Close(context.Background())) // each write is bounded
	}
	if s.deeds != nil {
		errs = append(errs, s.deeds.Close(context.Background()))
	}
	if s.fetches != nil {
		errs = append(errs, s.fetches.Close(context.Background()))
	}
	if s.specReads != nil {
		errs = append(errs, s.specReads.Close(context.Background()))
	}
	if s.ends != nil {
		errs = append(errs, s.ends.Close(context.Background()))
	}
	for _, g := range []*gathering{s.hasty, s.durable, s.fetching} {
		if g != nil {
			errs = append(errs, g.close())
		}
	}
	return errors.Join(errs...)
}

// gather has an item written, or read, among others.
func gather[I, R any](ctx context.Context, s *Store, do func(context.Context, I) (R, error), item I) (none R, _ error) {
	end, err := s.begin()
	if err != nil {
		return none, err
	}
	defer end()
	got, err := do(ctx, item)
	return got, explain(err)
}

// judge says what an error means for those that were written together.
func judge(err error) batch.Verdict {
	switch {
	case conflicted(err), cutOff(err), stale(err):
		return batch.Again
	case errors.Is(explain(err), domain.ErrUnavailable):
		return batch.Fail
	}
	return batch.Split
}

// stamp is the time that rows bring along; nothing where the database tells it.
func (s *Store) stamp() []any {
	if s.clock == nil {
		return nil
	}
	return []any{s.clock().UnixMicro()}
}

// overloaded is what a push gets when as many items wait as may.
func overloaded(err error) error {
	if errors.Is(err, batch.ErrFull) {
		return fmt.Errorf("%w: %w", domain.ErrOverloaded, err)
	}
	return err
}
