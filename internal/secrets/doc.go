// Package secrets seals variables and connections for storage, and says how far
// a tenant's secrets reach.
//
// It may import internal/domain, internal/keyfile and Tink; storage is internal/store's.
package secrets
