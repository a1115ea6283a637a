package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"entgo.io/ent/dialect/sql"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/auditevent"
	"github.com/neochaotic/leoflow/internal/domain"
)

// AuditAction says what was done.
type AuditAction string

// The actions.
const (
	AuditVariablesDelivered   AuditAction = "variables.delivered"
	AuditConnectionsDelivered AuditAction = "connections.delivered"
)

// AuditEvent says which secrets were delivered to whom (SECRET-5): names, in
// order, and never values.
type AuditEvent struct {
	At      time.Time
	Action  AuditAction
	Attempt domain.AttemptRef
	Names   []string
}

// maxAuditEvents is the most that one call of AuditEvents returns.
const maxAuditEvents = 1_000

// AuditEvents returns the last events of the context's tenant, at most limit (from
// 1 to 1,000), the newest first.
func (s *Store) AuditEvents(ctx context.Context, limit int) ([]AuditEvent, error) {
	var out []AuditEvent
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		rows, err := tx.AuditEvent.Query().Order(auditevent.ByID(sql.OrderDesc())).
			Limit(max(1, min(limit, maxAuditEvents))).All(ctx)
		if err != nil {
			return err
		}
		out = make([]AuditEvent, len(rows))
		for i, row := range rows {
			out[i] = AuditEvent{
				At: instant(row.At), Action: AuditAction(row.Action), Names: row.Names,
				Attempt: domain.AttemptRef{
					TaskInstanceID: row.InstanceID, TenantID: row.Tenant,
					DagID: row.DagID, RunID: row.RunID, TaskID: row.TaskID, TryNumber: row.Try,
				},
			}
		}
		return nil
	})
	return out, err
}

// audit adds an event. Whatever keeps it from being written, there is no record,
// hence no delivery, and the caller may try again.
func (tx *txn) audit(ctx context.Context, action AuditAction, row *ent.Attempt, sealed map[string][]byte) error {
	names := slices.AppendSeq([]string{}, maps.Keys(sealed))
	slices.Sort(names)
	err := tx.AuditEvent.Create().SetTenant(tx.tenant).SetAt(tx.now).SetAction(string(action)).
		SetInstanceID(row.InstanceID).SetDagID(row.DagID).SetRunID(row.RunID).SetTaskID(row.TaskID).SetTry(row.Try).
		SetNames(names).Exec(ctx)
	if err != nil {
		return fmt.Errorf("%w: audit record: %w", domain.ErrUnavailable, err)
	}
	return nil
}
