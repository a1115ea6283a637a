// Package agentrpc serves leoflow.agent.v1.AgentService, one RPC a file.
//
// A [Server] is safe and right on its own, with three fakes and no interceptor in
// front, and behind the chain of internal/interceptor: each method runs through one
// wrapper that does the steps that the chain has not done already.
//
// It may import the layers below it (domain, policy, auth, xcom, logs, secrets,
// rpcstatus, interceptor) and gen, never internal/store nor ent: what it needs of
// them is said by the small interfaces here.
package agentrpc

import (
	"context"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// TaskSpec is what an agent needs to run a task.
type TaskSpec = domain.TaskSpec

// Authenticator verifies agent tokens. Any error refuses the token, and so does a
// nil identity without one; the reason is logged and never told (AUTH-4).
type Authenticator interface {
	AuthenticateAgent(token string) (*auth.AgentIdentity, error)
}

// Store keeps attempts. Each method answers for the attempt that id names, within
// the tenant of id. An error that matches [domain.ErrNotLive] is a definitive
// answer that the attempt may not go on; any other error is no answer at all.
type Store interface {
	// TaskSpec returns the stored specification, the same each time (SPEC-2).
	TaskSpec(ctx context.Context, id auth.AgentIdentity) (TaskSpec, error)
	// ReportState stores a report durably before it returns nil (STATE-2). It
	// changes nothing and returns a not-live sentinel where the attempt is settled
	// otherwise or superseded (STATE-4), or a RUNNING comes while a cancel is
	// pending (STATE-10); it changes nothing and returns nil for a repeat of an
	// accepted report (STATE-3).
	ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, errMsg string) error
	// RecordHeartbeat moves the attempt's liveness stamp (BEAT-1), or returns a
	// not-live sentinel and changes nothing (BEAT-3, BEAT-4).
	RecordHeartbeat(ctx context.Context, id auth.AgentIdentity) error
}

// XComService keeps values.
type XComService interface {
	// Push stores a value, or returns [xcom.ErrTooLarge] or [xcom.ErrSchemaMismatch].
	// schema is the JSON Schema to hold it against; nil: none.
	Push(ctx context.Context, key xcom.Key, value []byte, contentType string, schema map[string]any) error
	// Fetch returns a value, or [xcom.ErrNotFound].
	Fetch(ctx context.Context, key xcom.Key) (xcom.Entry, error)
}

// LogSink opens an attempt's log.
type LogSink interface {
	Open(ref logs.Ref) (logs.LogWriter, error)
}

// LogPublisher hands each line to whoever follows live. Its errors are logged and
// change nothing.
type LogPublisher interface {
	Publish(ctx context.Context, ref logs.Ref, line string) error
}

// SecretsStore returns a tenant's secrets, exactly as stored (SECRET-2).
type SecretsStore interface {
	SecretVariables(ctx context.Context, tenant string) (map[string]string, error)
	SecretConnectionURIs(ctx context.Context, tenant string) (map[string]string, error)
}

// What a given store, service or sink may be able to do beyond its interface is
// found by type assertion, once, at construction. A rule that needs an ability does
// not bind without it.

// Renewer is an Authenticator that can also renew the tokens that it accepts. It is
// asked after AuthenticateAgent accepted the token, never instead of it.
type Renewer interface {
	// RenewAgent returns a token to use instead of token, which AuthenticateAgent has
	// accepted as id's in this call; empty: none is due. The renewed one carries the
	// same identity; its life starts now, is no longer than a fresh one's, and never
	// passes the attempt's ceiling (TOKEN-2); the presented one stays good (TOKEN-3).
	// It is on the path of every heartbeat: it waits for nothing, and no error of it
	// quotes a token (AUTH-8).
	RenewAgent(token string, id auth.AgentIdentity) (renewed string, err error)
}

// PromptStore is a Store that answers most heartbeats without ever waiting longer than it
// is told to, so that they need no goroutine of their own.
type PromptStore interface {
	// PromptHeartbeat is RecordHeartbeat, but that it returns as soon as ctx ends, whatever
	// its database does. decided is false where LoneHeartbeat is to be asked for the answer.
	PromptHeartbeat(ctx context.Context, id auth.AgentIdentity) (decided bool, err error)
	// LoneHeartbeat is RecordHeartbeat of an attempt of which PromptHeartbeat decided
	// nothing: it does not try again what that did.
	LoneHeartbeat(ctx context.Context, id auth.AgentIdentity) error
}

// Hearsay is told of heartbeats that the store gave no word on (BEAT-5).
type Hearsay interface {
	// Heard returns at once.
	Heard(ref domain.AttemptRef)
}

// Registrar is a Store that records what an agent says about itself, and tells
// whether its attempt is live (REG-2, REG-3).
type Registrar interface {
	// RegisterAgent returns a not-live sentinel for an attempt that may not go on.
	RegisterAgent(ctx context.Context, id auth.AgentIdentity, info domain.AgentInfo) error
}

// TimedReporter is a Store that also keeps when, by the agent's clock, it happened (STATE-6).
type TimedReporter interface {
	// ReportStateAt is ReportState with the agent's time; zero: none was sent.
	ReportStateAt(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, errMsg string, at time.Time) error
}

// CancelReader is a Store that knows by when a cancelled attempt must have stopped (BEAT-6).
type CancelReader interface {
	// StopBy returns the deadline of the attempt's pending cancel; false: there is none.
	StopBy(ctx context.Context, id auth.AgentIdentity) (time.Time, bool, error)
}

// LogAdmitter is a Store that knows whether an attempt may still log (LOG-9).
type LogAdmitter interface {
	// MayLog returns until when the attempt may log: zero while it is live; in the
	// past when the grace is over. It returns domain.ErrUnknown, wrapped, when there
	// is no such attempt.
	MayLog(ctx context.Context, id auth.AgentIdentity) (until time.Time, err error)
}

// AttemptXCom is an XComService that keeps each attempt's values apart, fenced by
// the attempt's state (XCOM-6, XCOM-7).
type AttemptXCom interface {
	// PushFrom stores a value of an attempt and returns the life that it has. It
	// returns a not-live sentinel for an attempt that is settled or superseded.
	PushFrom(ctx context.Context, from domain.AttemptRef, name string, value []byte, contentType string, schema map[string]any) (ttl time.Duration, err error)
	// FetchFor returns what key's task pushed in its current try. It returns a
	// not-live sentinel when the asking attempt is settled or superseded.
	FetchFor(ctx context.Context, by domain.AttemptRef, key xcom.Key) (xcom.Entry, error)
}

// SecretsDeliverer is a SecretsStore that delivers to one attempt: only while it is
// live (SECRET-4), within the tenant's scope (SECRET-3), and with an audit record or
// not at all (SECRET-5).
type SecretsDeliverer interface {
	DeliverVariables(ctx context.Context, id auth.AgentIdentity) (map[string]string, error)
	DeliverConnectionURIs(ctx context.Context, id auth.AgentIdentity) (map[string]string, error)
}
