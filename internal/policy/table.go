package policy

import (
	"errors"
	"slices"
	"strings"
	"time"

	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Scope says whose token opens a method (AUTH-7).
type Scope = policyv1.Scope

// The scopes. A loaded method has one of them.
const (
	ScopeAgent    = policyv1.Scope_SCOPE_AGENT
	ScopeOperator = policyv1.Scope_SCOPE_OPERATOR
)

// Idempotency says what a repeated call does.
type Idempotency = policyv1.Idempotency

// The kinds of repetition. A loaded method has one of them.
const (
	ReadOnly      = policyv1.Idempotency_IDEMPOTENCY_READ_ONLY
	Idempotent    = policyv1.Idempotency_IDEMPOTENCY_IDEMPOTENT
	NotIdempotent = policyv1.Idempotency_IDEMPOTENCY_NONE
)

// StreamCheck says when the attempt behind a stream from the client is looked at.
type StreamCheck = policyv1.StreamCheck

// The times of checking; NoStreamCheck where there is nothing to check.
const (
	NoStreamCheck   = policyv1.StreamCheck_STREAM_CHECK_UNSPECIFIED
	CheckAtOpen     = policyv1.StreamCheck_STREAM_CHECK_AT_OPEN
	CheckEachCommit = policyv1.StreamCheck_STREAM_CHECK_EACH_COMMIT
)

// RateClass says what becomes of a call over its rate (LIMIT-2).
type RateClass = policyv1.RateClass

// The classes. A loaded method of the agent scope has one of the last three.
const (
	NoRate  = policyv1.RateClass_RATE_CLASS_UNSPECIFIED
	Paced   = policyv1.RateClass_RATE_CLASS_PACED
	Waits   = policyv1.RateClass_RATE_CLASS_WAITS
	Refused = policyv1.RateClass_RATE_CLASS_REFUSED
)

// Role is the least role that a method of the operator scope asks for: the name of
// a leoflow.policy.v1.Role in lower case and without its prefix, such as "viewer".
type Role string

// NoRole is what a method of the agent scope asks for.
const NoRole Role = ""

// Method is the policy of one method.
type Method struct {
	// FullMethod is "/package.Service/Method", as gRPC names it.
	FullMethod string
	Scope      Scope
	Role       Role // NoRole in the agent scope, and only there
	// Confidential: only over a channel that nobody else can read (SECRET-1).
	Confidential bool
	Idempotency  Idempotency
	// EffectiveIn lists the states in which the call has an effect; empty: it does
	// not depend on one. The slice is shared: read it only.
	EffectiveIn []domain.TaskState
	StreamCheck StreamCheck
	// Grace is how long after the attempt's end a stream still has its effect (LOG-9).
	Grace time.Duration
	// Rate is what becomes of a call over its rate: NoRate in the operator scope, and
	// only there.
	Rate                             RateClass
	ClientStreaming, ServerStreaming bool
}

// Table holds the policy of every method of some services. It never changes and is
// safe for concurrent use.
type Table struct {
	methods map[string]Method
}

// Load reads the policy of every method of every service in files. It fails unless
// each has a complete one that does not contradict itself and a request type that
// is linked in with a ValidateAll method; the error names every fault at once.
func Load(files ...protoreflect.FileDescriptor) (*Table, error) {
	table := &Table{methods: map[string]Method{}}
	var faults []error
	for _, file := range files {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				method, wrong := read(methods.Get(j))
				table.methods[method.FullMethod] = method
				faults = append(faults, wrong...)
			}
		}
	}
	if len(table.methods) == 0 {
		faults = append(faults, errors.New("policy: no file has a service with a method"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return table, nil
}

// Method returns the policy of a method by its full name, "/package.Service/Method".
// False: no such method was loaded, and nobody may call it.
func (t *Table) Method(fullMethod string) (Method, bool) {
	m, ok := t.methods[fullMethod]
	return m, ok
}

// Methods lists every policy, sorted by the full name. The caller owns the result.
func (t *Table) Methods() []Method {
	out := make([]Method, 0, len(t.methods))
	for _, m := range t.methods {
		m.EffectiveIn = slices.Clone(m.EffectiveIn)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Method) int { return strings.Compare(a.FullMethod, b.FullMethod) })
	return out
}
