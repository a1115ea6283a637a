package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"entgo.io/ent/dialect/sql"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/auditevent"
	"github.com/neochaotic/leoflow/internal/domain"
)

// errNoActor says that a write of a secret came without who writes: a fault, since
// every operator's token has a subject.
var errNoActor = errors.New("nobody to record for the write")

// ListAuditEvents returns at most limit (from 1 to 1,001) events of the context's
// tenant that are older than the one with the number before, the newest first;
// 0: from the newest on.
func (s *Store) ListAuditEvents(ctx context.Context, before int64, limit int) ([]domain.AuditEvent, error) {
	var out []domain.AuditEvent
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		query := tx.AuditEvent.Query()
		if before > 0 {
			query.Where(auditevent.IDLT(before))
		}
		rows, err := query.Order(auditevent.ByID(sql.OrderDesc())).Limit(bounded(limit)).All(ctx)
		if err != nil {
			return err
		}
		out = make([]domain.AuditEvent, len(rows))
		for i, row := range rows {
			out[i] = domain.AuditEvent{
				Seq: row.ID, At: instant(row.At), Action: domain.AuditAction(row.Action),
				Actor: domain.Actor(row.Actor), Names: row.Names,
			}
			if row.InstanceID != "" {
				out[i].Attempt = domain.AttemptRef{
					TaskInstanceID: row.InstanceID, TenantID: row.Tenant,
					DagID: row.DagID, RunID: row.RunID, TaskID: row.TaskID, TryNumber: row.Try,
				}
			}
		}
		return nil
	})
	return out, err
}

// auditDelivery adds the event of a delivery to an attempt.
func (tx *txn) auditDelivery(ctx context.Context, action domain.AuditAction, row *ent.Attempt, sealed map[string][]byte) error {
	names := slices.AppendSeq([]string{}, maps.Keys(sealed))
	slices.Sort(names)
	return recorded(tx.newAudit(action, names).
		SetInstanceID(row.InstanceID).SetDagID(row.DagID).SetRunID(row.RunID).SetTaskID(row.TaskID).SetTry(row.Try).
		Exec(ctx))
}

// auditWrite adds the event of an operator's write of a secret.
func (tx *txn) auditWrite(ctx context.Context, action domain.AuditAction, by domain.Actor, name string) error {
	if by == "" {
		return errNoActor
	}
	return recorded(tx.newAudit(action, []string{name}).
		SetInstanceID("").SetDagID("").SetRunID("").SetTaskID("").SetTry(0).SetActor(readable(string(by))).
		Exec(ctx))
}

func (tx *txn) newAudit(action domain.AuditAction, names []string) *ent.AuditEventCreate {
	return tx.AuditEvent.Create().SetTenant(tx.tenant).SetAt(tx.now).SetAction(string(action)).SetNames(names)
}

// recorded makes of whatever kept an event from being written that there is no
// record, hence no delivery and no write, and that the caller may try again.
func recorded(err error) error {
	if err != nil {
		return fmt.Errorf("%w: audit record: %w", domain.ErrUnavailable, err)
	}
	return nil
}
