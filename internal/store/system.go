package store

import (
	"context"
	"time"

	"entgo.io/ent/privacy"

	"github.com/neochaotic/leoflow/ent/xcomentry"
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
	ctx = systemContext(ctx)
	ids, err := s.reader.XComEntry.Query().Where(xcomentry.ExpiresAtLTE(now.UnixMicro())).
		Order(xcomentry.ByExpiresAt()).Limit(max(1, min(limit, maxDeletes))).IDs(ctx)
	if err != nil {
		return 0, explain(err)
	}
	// A value pushed anew since then has a new life, hence the second look.
	n, err := s.writer.XComEntry.Delete().
		Where(xcomentry.IDIn(ids...), xcomentry.ExpiresAtLTE(now.UnixMicro())).Exec(ctx)
	return n, explain(err)
}
