package store

import (
	"context"
	"time"

	"entgo.io/ent/privacy"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/xcomentry"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// systemContext returns a context under which statements see every tenant. It is
// the only one that makes such a context, and only this file may call it: for
// upkeep that belongs to no tenant and returns nothing of any.
func systemContext(ctx context.Context) context.Context {
	return privacy.DecisionContext(ctx, privacy.Allow)
}

// maxDeletes is how many rows one statement may name.
const maxDeletes = 10_000

// DeleteExpiredXCom deletes at most limit values (from 1 to 10,000) of any tenant whose life is over
// at now, and returns how many. Nobody can fetch them any more (XCOM-5).
func (s *Store) DeleteExpiredXCom(ctx context.Context, now time.Time, limit int) (int, error) {
	end, err := s.begin()
	if err != nil {
		return 0, err
	}
	defer end()
	n := 0
	err = s.transact(systemContext(ctx), s.writer, s.writing, func(ctx context.Context, tx *ent.Tx) (err error) {
		n, err = deleteExpired(ctx, tx, now, max(1, min(limit, maxDeletes)))
		return err
	})
	return n, explain(err)
}

func deleteExpired(ctx context.Context, tx *ent.Tx, now time.Time, limit int) (int, error) {
	// What somebody has just now is being deleted, or pushed anew.
	expired := tx.XComEntry.Query().Where(xcomentry.ExpiresAtLTE(now.UnixMicro())).
		Order(xcomentry.ByExpiresAt()).Limit(limit)
	expired.Modify(holdingFree)
	ids, err := expired.IDs(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	n, err := tx.XComEntry.Delete().Where(xcomentry.IDIn(ids...)).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return n, tx.Commit()
}

// LiveAttempts calls visit for each attempt of any tenant that awaits its outcome,
// in no order, and returns where the next look may begin: a value to hand over as
// from, at first 0, that spares it the attempts that had settled by this look. Of an
// attempt it tells its tenant, task instance id, try, state, times and time-out,
// and whether its agent has registered; nothing else is filled in.
func (s *Store) LiveAttempts(ctx context.Context, from int64, visit func(a domain.Attempt, registered bool)) (next int64, err error) {
	end, err := s.begin()
	if err != nil {
		return from, err
	}
	defer end()
	next = from
	err = s.transact(systemContext(ctx), s.reader, s.reading, func(ctx context.Context, tx *ent.Tx) (err error) {
		next, err = s.liveAttempts(ctx, tx, from, visit)
		return err
	})
	return next, explain(err)
}

// ResealSecrets seals anew whatever of any tenant is sealed under another key than the
// sealer's primary one, in small transactions, and returns what it did. A secret that
// is put meanwhile wins. An error ends it where it is; the next call goes on. The
// sealer must be a [RotatingSealer], else it is domain.ErrUnavailable.
func (s *Store) ResealSecrets(ctx context.Context) (Resealed, error) {
	sealer, ok := s.sealer.(RotatingSealer)
	if !ok {
		return Resealed{}, errNoSealer
	}
	return s.resealAll(systemContext(ctx), sealer)
}

// CountSecretsNotUnder returns how many secrets of any tenant another key has sealed.
func (s *Store) CountSecretsNotUnder(ctx context.Context, key secrets.KeyID) (int, error) {
	end, err := s.begin()
	if err != nil {
		return 0, err
	}
	defer end()
	n := 0
	err = s.transact(systemContext(ctx), s.writer, s.writing, func(ctx context.Context, tx *ent.Tx) (err error) {
		n, err = s.countNotUnder(ctx, tx, key)
		return err
	})
	return n, explain(err)
}
