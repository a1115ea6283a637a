// Package otherplane is a control plane of another make: it keeps the rules of the
// protocol, in memory, and wherever they leave a choice it chooses otherwise than ours.
// The conformance suite judges it in the tests of this package: a check that fails it
// demands our choices, not the rules, and is a fault of the suite.
//
// It is test equipment. It may import gen, gRPC and libraries, and nothing else of ours,
// so that it shares no mistake with our server; nothing but tests imports it.
package otherplane

import (
	"time"

	"google.golang.org/grpc/codes"
)

// Signer is how a plane makes its tokens.
type Signer int

// The ways to make tokens.
const (
	// RSA: JSON Web Tokens signed by one of two RSA keys, named by `kid`.
	RSA Signer = iota
	// Ed25519: JSON Web Tokens signed by the only key.
	Ed25519
	// Opaque: names of grants that only the plane can look up.
	Opaque
)

// IDs is how a plane names task instances.
type IDs int

// The ways to name task instances.
const (
	// PerTenant: by the names that are asked for; two tenants may use the same.
	PerTenant IDs = iota
	// Unique: by the names that are asked for; one that another tenant uses is refused.
	Unique
	// Own: by names of the plane's making, whatever is asked for.
	Own
)

// Choices are what the rules leave to a control plane.
type Choices struct {
	// Name is its name, for reports.
	Name string
	// Signer makes its tokens, and IDs its task instances.
	Signer Signer
	IDs    IDs

	// The abilities that are optional. That of operators is never there.
	Cancel, Renewal, Resume, Schema, Secrets bool
	// TenantScope: tasks may get all secrets of their tenant. DeclaredScope: a tenant may
	// be limited to what its tasks declared. Without the first the second always holds.
	TenantScope, DeclaredScope bool
	// PlaintextSecrets: secrets travel over any channel.
	PlaintextSecrets bool
	// Clock: its clock can be advanced.
	Clock bool

	// MessageMax is the limit of a message, and ValueMax that of a value, in bytes.
	MessageMax, ValueMax int
	// ValueLife is how long a value lives, LogGrace for how long an attempt that has
	// ended may log, TokenLife how long a fresh token lives, Ceiling how long after the
	// launch the last one ends.
	ValueLife, LogGrace, TokenLife, Ceiling time.Duration
	// BeatEvery is how often agents are to beat, LostAfter how long a silence is.
	BeatEvery, LostAfter time.Duration
	// CommitEvery is how often lines of a log become durable.
	CommitEvery time.Duration
	// AnyCallBeats: every call that is answered well is a sign of life.
	AnyCallBeats bool
	// OwnLines: the plane writes lines of its own into logs.
	OwnLines bool
	// TellsNothing: its fixtures do not tell its limits and times.
	TellsNothing bool
	// WhenDown is what calls are told while the store fails.
	WhenDown codes.Code
}

// Rich has every ability but that of operators.
func Rich() Choices {
	return Choices{
		Name: "other plane, rich", Signer: RSA, IDs: PerTenant,
		Cancel: true, Renewal: true, Resume: true, Schema: true, Secrets: true,
		TenantScope: true, DeclaredScope: true, Clock: true,
		MessageMax: 7 << 20, ValueMax: 100_000,
		ValueLife: 71*time.Hour + 13*time.Second, LogGrace: 97 * time.Second,
		TokenLife: 35 * time.Minute, Ceiling: 5 * time.Hour,
		BeatEvery: 7 * time.Second, LostAfter: 3 * time.Minute,
		CommitEvery: 230 * time.Millisecond, WhenDown: codes.Unavailable,
	}
}

// Plain has no ability that is optional but secrets.
func Plain() Choices {
	return Choices{
		Name: "other plane, plain", Signer: Ed25519, IDs: Unique,
		Secrets: true, TenantScope: true,
		MessageMax: 5 << 20, ValueMax: 1 << 20,
		ValueLife: 90 * time.Minute, LogGrace: 10 * time.Minute,
		TokenLife: 30 * time.Hour, Ceiling: 30 * time.Hour,
		BeatEvery: 40 * time.Second, LostAfter: 10 * time.Minute,
		CommitEvery: 60 * time.Millisecond, AnyCallBeats: true, WhenDown: codes.Internal,
	}
}

// Sealed tells its callers as little as it can: tokens mean nothing to them, ids are its
// own, and tasks get only the secrets that they declared.
func Sealed() Choices {
	return Choices{
		Name: "other plane, sealed", Signer: Opaque, IDs: Own,
		Cancel: true, Renewal: true, Resume: true, Secrets: true, DeclaredScope: true, Clock: true,
		MessageMax: 16 << 20, ValueMax: 3 << 20,
		ValueLife: 26 * time.Hour, LogGrace: 31 * time.Second,
		TokenLife: 20 * time.Minute, Ceiling: 2 * time.Hour,
		BeatEvery: 2500 * time.Millisecond, LostAfter: time.Minute,
		CommitEvery: 850 * time.Millisecond, OwnLines: true, WhenDown: codes.Unavailable,
	}
}
