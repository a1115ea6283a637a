package domain

import "context"

type tenantKey struct{}

// WithTenant returns a context in whose name the store may be asked. Only the
// step that authenticated the caller calls it, with the tenant of the token (AUTH-6).
func WithTenant(ctx context.Context, tenant string) context.Context {
	return &Tenanted{ctx, tenant}
}

// Tenanted is a context of [WithTenant], for who makes it a part of something larger. While
// Tenant is empty the store may not be asked.
type Tenanted struct {
	context.Context //nolint:containedctx // it is one
	Tenant          string
}

// Value implements [context.Context].
func (t *Tenanted) Value(key any) any {
	if _, ours := key.(tenantKey); ours {
		return t
	}
	return t.Context.Value(key)
}

// TenantFrom returns the tenant of ctx; false when there is none or it is empty.
func TenantFrom(ctx context.Context) (string, bool) {
	t, ok := ctx.Value(tenantKey{}).(*Tenanted)
	if !ok {
		return "", false
	}
	return t.Tenant, t.Tenant != ""
}
