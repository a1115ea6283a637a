package secrets

// Scope says which of a tenant's secrets an attempt gets (SECRET-3).
type Scope string

// The scopes.
const (
	ScopeTenant   Scope = "tenant"   // all of its tenant's; the default
	ScopeDeclared Scope = "declared" // those that its task declared
)

// Valid reports whether s is one of the scopes.
func (s Scope) Valid() bool { return s == ScopeTenant || s == ScopeDeclared }
