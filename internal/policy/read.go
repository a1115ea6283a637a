package policy

import (
	"fmt"
	"strings"
	"time"

	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// read returns the policy of one method and everything that is wrong with it.
func read(md protoreflect.MethodDescriptor) (Method, []error) {
	m := Method{
		FullMethod:      fmt.Sprintf("/%s/%s", md.Parent().FullName(), md.Name()),
		ClientStreaming: md.IsStreamingClient(),
		ServerStreaming: md.IsStreamingServer(),
	}
	f := &faults{method: m.FullMethod}
	f.checkRequest(md.Input().FullName())
	options := md.Options()
	if !proto.HasExtension(options, policyv1.E_Method) {
		f.add("has no policy")
		return m, f.found
	}
	p, _ := proto.GetExtension(options, policyv1.E_Method).(*policyv1.MethodPolicy)
	m.Scope = p.GetScope()
	m.Role = roleOf(p.GetRole())
	m.Confidential = p.GetConfidentiality() == policyv1.Confidentiality_CONFIDENTIALITY_REQUIRED
	m.Idempotency = p.GetIdempotency()
	m.StreamCheck = p.GetStreamCheck()
	m.Grace = time.Duration(p.GetGraceSeconds()) * time.Second
	m.Rate = p.GetRate()
	for _, number := range p.GetEffectiveIn() {
		state, ok := StateFromProto(number)
		if !ok {
			f.add("effective_in names %s, which is not a state", number)
		}
		m.EffectiveIn = append(m.EffectiveIn, state)
	}
	f.checkWords(p)
	f.checkScope(m)
	f.checkStates(m)
	return m, f.found
}

// roleOf names a role as Role documents it.
func roleOf(r policyv1.Role) Role {
	if r == policyv1.Role_ROLE_UNSPECIFIED {
		return NoRole
	}
	return Role(strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_")))
}

// faults gathers what is wrong with one method.
type faults struct {
	method string
	found  []error
}

func (f *faults) add(format string, args ...any) {
	f.found = append(f.found, fmt.Errorf("policy of %s: %s", f.method, fmt.Sprintf(format, args...)))
}

// checkRequest looks for the validation that PGV generates: a message without it
// would pass unexamined.
func (f *faults) checkRequest(request protoreflect.FullName) {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(request)
	if err != nil {
		f.add("its request type %s is not linked in", request)
		return
	}
	if _, ok := mt.Zero().Interface().(interface{ ValidateAll() error }); !ok {
		f.add("its request type %s has no ValidateAll", request)
	}
}

// checkWords wants every word specified and known.
func (f *faults) checkWords(p *policyv1.MethodPolicy) {
	for _, word := range []struct {
		name     string
		value    protoreflect.Enum
		optional bool
	}{
		{"scope", p.GetScope(), false},
		{"role", p.GetRole(), true},
		{"confidentiality", p.GetConfidentiality(), false},
		{"idempotency", p.GetIdempotency(), false},
		{"stream_check", p.GetStreamCheck(), true},
		{"rate", p.GetRate(), true},
	} {
		switch number := word.value.Number(); {
		case number == 0 && !word.optional:
			f.add("%s is not specified", word.name)
		case word.value.Descriptor().Values().ByNumber(number) == nil:
			f.add("%s has the unknown value %d", word.name, number)
		}
	}
}

// checkScope wants a role for people, and none for agents; and a rate for agents, and
// none for people.
func (f *faults) checkScope(m Method) {
	switch {
	case m.Scope == ScopeOperator && m.Role == NoRole:
		f.add("the operator scope needs a role")
	case m.Scope == ScopeAgent && m.Role != NoRole:
		f.add("the agent scope has no roles, but it names %q", m.Role)
	}
	switch {
	case m.Scope == ScopeAgent && m.Rate == NoRate:
		f.add("the agent scope needs a rate")
	case m.Scope == ScopeOperator && m.Rate != NoRate:
		f.add("the operator scope has no rates, but it names %s", m.Rate)
	}
}

// checkStates wants states in which a call can have an effect at all, and says of
// streams what only streams need.
func (f *faults) checkStates(m Method) {
	stream := m.ClientStreaming || m.ServerStreaming
	for _, state := range m.EffectiveIn {
		switch {
		case state.Terminal():
			f.add("effective_in names %s, in which everything is settled", state)
		case m.Scope == ScopeAgent && state.Valid() && !state.Live():
			f.add("effective_in names %s, in which no agent is at work", state)
		}
	}
	switch {
	case m.ClientStreaming && len(m.EffectiveIn) > 0 && m.StreamCheck == NoStreamCheck:
		f.add("a stream from the client with effective_in needs a stream_check")
	case m.StreamCheck != NoStreamCheck && (!m.ClientStreaming || len(m.EffectiveIn) == 0):
		f.add("stream_check is only for a stream from the client with effective_in")
	}
	switch {
	case m.Grace < 0:
		f.add("grace_seconds is negative")
	case m.Grace > 0 && (!stream || len(m.EffectiveIn) == 0):
		f.add("grace_seconds is only for a stream with effective_in")
	}
}
