package store

import (
	"bytes"
	"context"
	"time"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/ent/xcomentry"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

var _ xcom.Repository = (*Store)(nil)

// PutXCom implements [xcom.Repository].
func (s *Store) PutXCom(ctx context.Context, from domain.AttemptRef, name string, e xcom.Entry, expires time.Time) error {
	if err := within(ctx, from.TenantID); err != nil {
		return err
	}
	if e.Value == nil {
		e.Value = []byte{} // not NULL
	}
	if s.deeds != nil && len(e.Value) <= maxGathered {
		got, err := s.push(ctx, push{from, name, e.Value, readable(e.ContentType), e.CreatedAt.UnixMicro(), expires.UnixMicro()})
		if err != nil || got == done {
			return err
		}
	}
	return s.putAlone(ctx, from, name, e, expires)
}

func (s *Store) putAlone(ctx context.Context, from domain.AttemptRef, name string, e xcom.Entry, expires time.Time) error {
	return s.write(ctx, func(ctx context.Context, tx *txn) error {
		row, err := tx.fence(ctx, from, true)
		if err != nil {
			return err
		}
		return tx.XComEntry.Create().SetTenant(tx.tenant).
			SetDagID(row.DagID).SetRunID(row.RunID).SetTaskID(row.TaskID).SetTry(row.Try).SetKey(name).
			SetValue(e.Value).SetContentType(readable(e.ContentType)).
			SetCreatedAt(e.CreatedAt.UnixMicro()).SetExpiresAt(expires.UnixMicro()).
			OnConflictColumns(
				xcomentry.FieldTenant, xcomentry.FieldDagID, xcomentry.FieldRunID,
				xcomentry.FieldTaskID, xcomentry.FieldTry, xcomentry.FieldKey,
			).UpdateNewValues().Exec(ctx)
	})
}

// GetXCom implements [xcom.Repository].
func (s *Store) GetXCom(ctx context.Context, key xcom.Key, by *domain.AttemptRef, now time.Time) (xcom.Entry, error) {
	if err := within(ctx, key.TenantID); err != nil {
		return xcom.Entry{}, err
	}
	if by != nil && by.TenantID != key.TenantID {
		return xcom.Entry{}, domain.ErrNoTenant
	}
	if by != nil && s.fetches != nil && ofOneRun(key, *by) {
		if got, found, err := s.fetch(ctx, wanted{key, *by, now}); err != nil || found {
			return got, err
		}
	}
	var out xcom.Entry
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		if by != nil {
			if err := mayFetch(ctx, tx, *by); err != nil {
				return err
			}
		}
		source, err := xcomSource(ctx, tx, key)
		if err != nil {
			return err
		}
		row, err := tx.XComEntry.Query().Where(
			xcomentry.DagID(key.DagID), xcomentry.RunID(key.RunID), xcomentry.TaskID(key.TaskID),
			xcomentry.Try(source.CurrentTry), xcomentry.Key(key.Name), xcomentry.ExpiresAtGT(now.UnixMicro()),
		).Only(ctx)
		if none(err) {
			return xcom.ErrNotFound
		}
		if err != nil {
			return err
		}
		out = xcom.Entry{
			Value: bytes.Clone(row.Value), ContentType: row.ContentType,
			SizeBytes: len(row.Value), CreatedAt: instant(row.CreatedAt),
		}
		return nil
	})
	if err != nil {
		return xcom.Entry{}, err
	}
	return out, nil
}

// CurrentAttempt implements [xcom.Repository].
func (s *Store) CurrentAttempt(ctx context.Context, key xcom.Key) (domain.AttemptRef, error) {
	if err := within(ctx, key.TenantID); err != nil {
		return domain.AttemptRef{}, err
	}
	var out domain.AttemptRef
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		task, err := xcomSource(ctx, tx, key)
		if err != nil {
			return err
		}
		out = domain.AttemptRef{
			TaskInstanceID: task.InstanceID, TenantID: task.Tenant,
			DagID: task.DagID, RunID: task.RunID, TaskID: task.TaskID, TryNumber: task.CurrentTry,
		}
		return nil
	})
	return out, err
}

// mayFetch refuses an attempt that is settled. A pending cancel bars nothing.
func mayFetch(ctx context.Context, tx *ent.Tx, by domain.AttemptRef) error {
	row, err := findOwn(ctx, tx, by)
	if err != nil || row.State.Live() {
		return err
	}
	return ended(ctx, tx, row)
}

// xcomSource returns the task of a value, or xcom.ErrNotFound where it does not
// exist or was never launched.
func xcomSource(ctx context.Context, tx *ent.Tx, key xcom.Key) (*ent.TaskInstance, error) {
	task, err := tx.TaskInstance.Query().Where(
		taskinstance.DagID(key.DagID), taskinstance.RunID(key.RunID), taskinstance.TaskID(key.TaskID),
		taskinstance.CurrentTryGT(0),
	).Only(ctx)
	if none(err) {
		return nil, xcom.ErrNotFound
	}
	return task, err
}
