package store

import (
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/tenant"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// within refuses a call that names another tenant than that of ctx.
func within(ctx context.Context, named string) error {
	if own, ok := domain.TenantFrom(ctx); !ok || own != named {
		return domain.ErrNoTenant
	}
	return nil
}

// SecretScope returns which secrets the attempts of the context's tenant get
// (SECRET-3); [secrets.ScopeTenant] where that was never set.
func (s *Store) SecretScope(ctx context.Context) (secrets.Scope, error) {
	var out secrets.Scope
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		var err error
		out, err = secretScope(ctx, tx)
		return err
	})
	return out, err
}

// SetSecretScope says which secrets the attempts of the context's tenant get from
// their next call on (SECRET-3), and makes the tenant where it is new. Who set it is
// recorded along with it, or it is not set and domain.ErrUnavailable. A scope that
// is none is domain.ErrPrecondition.
func (s *Store) SetSecretScope(ctx context.Context, by domain.Actor, scope secrets.Scope) error {
	if !scope.Valid() {
		return fmt.Errorf("%w: unknown secret scope %q", domain.ErrPrecondition, scope)
	}
	return s.write(ctx, func(ctx context.Context, tx *txn) error {
		if err := tx.ensureTenant(ctx); err != nil {
			return err
		}
		if err := tx.Tenant.Update().SetSecretScope(string(scope)).Exec(ctx); err != nil {
			return err
		}
		return tx.auditWrite(ctx, domain.AuditSecretScopeSet, by, string(scope))
	})
}

// ensureTenant makes the tenant's row where it is missing.
func (tx *txn) ensureTenant(ctx context.Context) error {
	err := tx.Tenant.Create().SetName(tx.tenant).SetCreatedAt(tx.now).
		OnConflictColumns(tenant.FieldName).DoNothing().Exec(ctx)
	if none(err) {
		return nil // it was there
	}
	return err
}

// secretScope returns the tenant's scope, the default where it has no row.
func secretScope(ctx context.Context, tx *ent.Tx) (secrets.Scope, error) {
	row, err := tx.Tenant.Query().Only(ctx)
	if none(err) {
		return secrets.ScopeTenant, nil
	}
	if err != nil {
		return "", err
	}
	return secrets.Scope(row.SecretScope), nil
}
