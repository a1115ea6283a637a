package domain

import "time"

// Actor is who does something for a tenant: the subject of an operator's token.
type Actor string

// AuditAction says what was done.
type AuditAction string

// The actions.
const (
	AuditVariablesDelivered   AuditAction = "variables.delivered"
	AuditConnectionsDelivered AuditAction = "connections.delivered"
	AuditVariablePut          AuditAction = "variable.put"
	AuditVariableDeleted      AuditAction = "variable.deleted"
	AuditConnectionPut        AuditAction = "connection.put"
	AuditConnectionDeleted    AuditAction = "connection.deleted"
	AuditSecretScopeSet       AuditAction = "secret_scope.set"
)

// AuditEvent says which secrets were delivered to which attempt (SECRET-5), or
// written by whom.
type AuditEvent struct {
	Seq     int64 // the later, the higher
	At      time.Time
	Action  AuditAction
	Attempt AttemptRef // of a delivery; zero for a write
	Actor   Actor      // of a write; empty for a delivery
	Names   []string   // of the secrets, in order, never values; or the scope that was set
}
