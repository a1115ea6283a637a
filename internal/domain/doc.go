// Package domain holds the words of the protocol: identifiers, task states and
// the one table of their transitions, causes, and the sentinel errors that every
// layer speaks.
//
// It may import the standard library only. Nothing here knows about gRPC, SQL or
// files: the store returns these sentinels and [internal/rpcstatus] alone turns
// them into statuses.
package domain
