package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/batch"
	"github.com/neochaotic/leoflow/internal/domain"
)

// PromptHeartbeat is RecordHeartbeat as far as it only waits among others for an answer, and
// so never longer than its context. Where that does not decide it, decided is false and
// LoneHeartbeat is to be asked: what a pending cancel and an end are told by takes the
// database.
func (s *Store) PromptHeartbeat(ctx context.Context, id auth.AgentIdentity) (decided bool, err error) {
	if s.beats == nil {
		return false, nil
	}
	if err := within(ctx, id.TenantID); err != nil {
		return true, err
	}
	got, err := gather(ctx, s, s.beats.TryDo, id.Attempt())
	if errors.Is(err, batch.ErrFull) {
		err = fmt.Errorf("%w: %w", domain.ErrUnavailable, err)
	}
	return err != nil || got == done, err
}

// LoneHeartbeat is RecordHeartbeat of an attempt of which PromptHeartbeat decided nothing: it
// is not put among others once more.
func (s *Store) LoneHeartbeat(ctx context.Context, id auth.AgentIdentity) error {
	if err := within(ctx, id.TenantID); err != nil {
		return err
	}
	return s.beatAlone(ctx, id)
}
