// Package schema says what is stored and who may see it. ent generates the rest
// of package ent from it.
//
// It may import internal/domain and the packages that ent generates.
package schema

import (
	"context"
	"fmt"

	"entgo.io/ent"
	"entgo.io/ent/dialect/sql"
	"entgo.io/ent/privacy"
	"entgo.io/ent/schema/index"
	"entgo.io/ent/schema/mixin"

	generated "github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/intercept"
	"github.com/neochaotic/leoflow/internal/domain"
)

const tenantColumn = "tenant"

// uniqueInTenant returns the index of a natural key: unique within a tenant and
// never across (ISO-1).
func uniqueInTenant(fields ...string) ent.Index {
	return index.Fields(append([]string{tenantColumn}, fields...)...).Unique()
}

// TenantMixin gives a table its tenant, by the name that tokens hold, and the
// rules of tenantScope. Every table but the tenants' own has it.
type TenantMixin struct{ mixin.Schema }

// Fields returns the tenant's column.
func (TenantMixin) Fields() []ent.Field {
	return []ent.Field{name(tenantColumn)}
}

// Policy refuses what has no tenant, or a foreign one.
func (TenantMixin) Policy() ent.Policy { return tenantScope{tenantColumn} }

// Interceptors limit every query to the tenant.
func (TenantMixin) Interceptors() []ent.Interceptor { return tenantScope{tenantColumn}.interceptors() }

// Hooks limit every mutation to the tenant.
func (TenantMixin) Hooks() []ent.Hook { return tenantScope{tenantColumn}.hooks() }

// tenantScope holds the isolation rules (ISO-1) of a table whose tenant stands in
// column: the tenant of the context is part of every statement, and a statement
// without one, or for another's row, is domain.ErrNoTenant, never an absence.
type tenantScope struct{ column string }

// system reports whether ctx is the one that internal/store makes for work
// that belongs to no tenant.
func system(ctx context.Context) bool {
	decision, ok := privacy.DecisionFromContext(ctx)
	return ok && decision == nil
}

// EvalQuery implements ent.Policy.
func (tenantScope) EvalQuery(ctx context.Context, _ ent.Query) error {
	if _, ok := domain.TenantFrom(ctx); !ok {
		return fmt.Errorf("%w: query", domain.ErrNoTenant)
	}
	return privacy.Skip
}

// EvalMutation implements ent.Policy.
func (s tenantScope) EvalMutation(ctx context.Context, m ent.Mutation) error {
	tenant, ok := domain.TenantFrom(ctx)
	if !ok {
		return fmt.Errorf("%w: %v of %s", domain.ErrNoTenant, m.Op(), m.Type())
	}
	if v, set := m.Field(s.column); set && v != ent.Value(tenant) {
		return fmt.Errorf("%w: %v of a foreign %s", domain.ErrNoTenant, m.Op(), m.Type())
	}
	return privacy.Skip
}

// interceptors limit queries, those of an edge included.
func (s tenantScope) interceptors() []ent.Interceptor {
	return []ent.Interceptor{intercept.TraverseFunc(func(ctx context.Context, q intercept.Query) error {
		if system(ctx) {
			return nil
		}
		tenant, ok := domain.TenantFrom(ctx)
		if !ok {
			return fmt.Errorf("%w: query of %s", domain.ErrNoTenant, q.Type())
		}
		q.WhereP(sql.FieldEQ(s.column, tenant))
		return nil
	})}
}

// hooks set the tenant of a new row and limit every other mutation to it.
func (s tenantScope) hooks() []ent.Hook {
	return []ent.Hook{func(next ent.Mutator) ent.Mutator {
		return ent.MutateFunc(func(ctx context.Context, m ent.Mutation) (ent.Value, error) {
			if system(ctx) {
				return next.Mutate(ctx, m)
			}
			if err := s.limit(ctx, m); err != nil {
				return nil, err
			}
			v, err := next.Mutate(ctx, m)
			if m.Op().Is(ent.OpUpdateOne|ent.OpDeleteOne) && (generated.IsNotFound(err) || v == 0) {
				// Whoever names a row by its key has read it, so it is another tenant's.
				return nil, fmt.Errorf("%w: %v of a foreign %s", domain.ErrNoTenant, m.Op(), m.Type())
			}
			return v, err
		})
	}}
}

// limit writes the tenant of ctx into m.
func (s tenantScope) limit(ctx context.Context, m ent.Mutation) error {
	tenant, ok := domain.TenantFrom(ctx)
	if !ok {
		return fmt.Errorf("%w: %v of %s", domain.ErrNoTenant, m.Op(), m.Type())
	}
	if m.Op().Is(ent.OpCreate) {
		return m.SetField(s.column, tenant)
	}
	w, ok := m.(interface{ WhereP(...func(*sql.Selector)) })
	if !ok {
		return fmt.Errorf("%w: %s cannot be limited to a tenant", domain.ErrNoTenant, m.Type())
	}
	w.WhereP(sql.FieldEQ(s.column, tenant))
	return nil
}
