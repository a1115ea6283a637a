package domain

import "context"

type tenantKey struct{}

// WithTenant returns a context in whose name the store may be asked. Only the
// step that authenticated the caller calls it, with the tenant of the token (AUTH-6).
func WithTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

// TenantFrom returns the tenant of ctx; false when there is none or it is empty.
func TenantFrom(ctx context.Context) (string, bool) {
	t, ok := ctx.Value(tenantKey{}).(string)
	return t, ok && t != ""
}
