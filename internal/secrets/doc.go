// Package secrets seals variables and connections for storage, and says how far
// a tenant's secrets reach.
//
// A keyset is rotated by adding a key to its file, which seals from then on; what the
// older keys have sealed is sealed anew, and then they are retired. It is in this order
// that whoever uses the file never meets what it cannot unseal.
//
// It may import internal/domain, internal/keyfile and Tink; storage is internal/store's.
package secrets
