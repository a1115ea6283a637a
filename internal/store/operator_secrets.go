package store

import (
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/connection"
	"github.com/neochaotic/leoflow/ent/variable"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// PutVariable creates or replaces a variable of the context's tenant, and the
// tenant where it is new. It is sealed at rest (SECRET-6). Who wrote it is recorded
// along with it, or it is not written and domain.ErrUnavailable. Where all variables
// of the tenant would take more than domain.MaxSecretsBytes on the wire, it is
// domain.ErrQuota; what takes no more than what it replaces is never refused.
func (s *Store) PutVariable(ctx context.Context, by domain.Actor, key, value string) error {
	name := secrets.Name{Kind: secrets.KindVariable, Name: key}
	return s.put(ctx, by, domain.AuditVariablePut, name, value, func(ctx context.Context, tx *txn, sealed []byte) error {
		return tx.Variable.Create().SetTenant(tx.tenant).SetName(key).SetSealed(sealed).
			SetCreatedAt(tx.now).SetUpdatedAt(tx.now).
			OnConflictColumns(variable.FieldTenant, variable.FieldName).UpdateNewValues().Exec(ctx)
	})
}

// PutConnection is [Store.PutVariable] for a connection.
func (s *Store) PutConnection(ctx context.Context, by domain.Actor, id, uri string) error {
	name := secrets.Name{Kind: secrets.KindConnection, Name: id}
	return s.put(ctx, by, domain.AuditConnectionPut, name, uri, func(ctx context.Context, tx *txn, sealed []byte) error {
		return tx.Connection.Create().SetTenant(tx.tenant).SetName(id).SetSealed(sealed).
			SetCreatedAt(tx.now).SetUpdatedAt(tx.now).
			OnConflictColumns(connection.FieldTenant, connection.FieldName).UpdateNewValues().Exec(ctx)
	})
}

// put seals a value under name, whose tenant is that of ctx, and stores it by upsert.
func (s *Store) put(
	ctx context.Context, by domain.Actor, action domain.AuditAction, name secrets.Name, value string,
	upsert func(context.Context, *txn, []byte) error,
) error {
	tenant, ok := domain.TenantFrom(ctx)
	if !ok {
		return domain.ErrNoTenant
	}
	if s.sealer == nil {
		return errNoSealer
	}
	name.Tenant = tenant
	return s.write(ctx, func(ctx context.Context, tx *txn) error {
		if err := holdSealing(ctx, tx.Tx, tx.postgres); err != nil {
			return err
		}
		// Not before: what comes after a pass of ResealSecrets is under its key, or a newer.
		sealed, err := s.sealer.Seal(name, []byte(value))
		if err != nil {
			return err
		}
		if err := tx.holdTenant(ctx); err != nil {
			return err
		}
		if err := tx.admit(ctx, name, len(value), len(sealed)-len(value)); err != nil {
			return err
		}
		if err := upsert(ctx, tx, sealed); err != nil {
			return err
		}
		return tx.auditWrite(ctx, action, by, name.Name)
	})
}

// DeleteVariable deletes a variable of the context's tenant, or is
// domain.ErrNotFound. Who deleted it is recorded as by [Store.PutVariable].
func (s *Store) DeleteVariable(ctx context.Context, by domain.Actor, key string) error {
	return s.write(ctx, func(ctx context.Context, tx *txn) error {
		n, err := tx.Variable.Delete().Where(variable.Name(key)).Exec(ctx)
		return tx.deleted(ctx, n, err, domain.AuditVariableDeleted, by, key)
	})
}

// DeleteConnection is [Store.DeleteVariable] for a connection.
func (s *Store) DeleteConnection(ctx context.Context, by domain.Actor, id string) error {
	return s.write(ctx, func(ctx context.Context, tx *txn) error {
		n, err := tx.Connection.Delete().Where(connection.Name(id)).Exec(ctx)
		return tx.deleted(ctx, n, err, domain.AuditConnectionDeleted, by, id)
	})
}

// deleted records the deletion of n secrets, one or none.
func (tx *txn) deleted(ctx context.Context, n int, err error, action domain.AuditAction, by domain.Actor, name string) error {
	switch {
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("%w: secret", domain.ErrNotFound)
	}
	return tx.auditWrite(ctx, action, by, name)
}

// ListVariables returns at most limit (from 1 to 1,001) names of variables of the
// context's tenant that come after the name after, in the order of their bytes;
// empty: from the first on.
func (s *Store) ListVariables(ctx context.Context, after string, limit int) ([]domain.SecretName, error) {
	var out []domain.SecretName
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		rows, err := tx.Variable.Query().Where(variable.NameGT(after)).
			Order(variable.ByName()).Limit(bounded(limit)).
			Select(variable.FieldName, variable.FieldUpdatedAt).All(ctx)
		for _, row := range rows {
			out = append(out, domain.SecretName{Name: row.Name, UpdatedAt: instant(row.UpdatedAt)})
		}
		return err
	})
	return out, err
}

// ListConnections is [Store.ListVariables] for connections.
func (s *Store) ListConnections(ctx context.Context, after string, limit int) ([]domain.SecretName, error) {
	var out []domain.SecretName
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		rows, err := tx.Connection.Query().Where(connection.NameGT(after)).
			Order(connection.ByName()).Limit(bounded(limit)).
			Select(connection.FieldName, connection.FieldUpdatedAt).All(ctx)
		for _, row := range rows {
			out = append(out, domain.SecretName{Name: row.Name, UpdatedAt: instant(row.UpdatedAt)})
		}
		return err
	})
	return out, err
}
