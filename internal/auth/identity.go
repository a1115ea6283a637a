// Package auth mints and verifies the tokens of agents and operators, and keeps
// the keys that sign them.
//
// It may import internal/domain and internal/keyfile. It knows nothing of gRPC: a refusal is
// [ErrRefused] with a private reason, and never tells a client more (AUTH-4).
package auth

import (
	"errors"

	"github.com/neochaotic/leoflow/internal/domain"
)

// ErrRefused matches every refusal of a token. The text around it is for the log.
var ErrRefused = errors.New("token refused")

// AgentIdentity is who an agent token says that its bearer is: one attempt of one
// task instance. Identity comes from here alone (AUTH-6).
type AgentIdentity struct {
	TaskInstanceID, TenantID, DagID, RunID, TaskID string
	TryNumber                                      int
}

// Attempt returns the attempt that the identity names.
func (id AgentIdentity) Attempt() domain.AttemptRef { return domain.AttemptRef(id) }

// IdentityOf returns the identity of an attempt.
func IdentityOf(a domain.AttemptRef) AgentIdentity { return AgentIdentity(a) }

// Role is what an operator may do; each role may do all that the lower ones may.
type Role string

// The roles, lowest first.
const (
	RoleViewer   Role = "viewer"   // reads runs and logs
	RoleOperator Role = "operator" // also creates runs, launches and settles attempts
	RoleAdmin    Role = "admin"    // also writes variables and connections
)

var roleRank = map[Role]int{RoleViewer: 1, RoleOperator: 2, RoleAdmin: 3}

// Includes reports whether r may do what least asks for. An unknown role on
// either side includes nothing.
func (r Role) Includes(least Role) bool {
	have, want := roleRank[r], roleRank[least]
	return want > 0 && have >= want
}

// OperatorIdentity is who an operator token says that its bearer is.
type OperatorIdentity struct {
	Subject, TenantID string
	Role              Role
}
