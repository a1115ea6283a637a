package interceptor

import (
	"strings"
	"sync"

	"github.com/neochaotic/leoflow/internal/policy"
)

// exempt are the services without a policy, by name: health tells nothing of any
// tenant, and reflection is registered on loopback only. Everything else is
// refused unless its policy lets it through.
var exempt = []string{
	"grpc.health.v1.Health",
	"grpc.reflection.v1.ServerReflection",
	"grpc.reflection.v1alpha.ServerReflection",
}

func isExempt(service string) bool {
	for _, name := range exempt {
		if name == service {
			return true
		}
	}
	return false
}

// kind is that of a method, in the words of metrics and log lines.
type kind string

const (
	kindUnary        kind = "unary"
	kindClientStream kind = "client_stream"
	kindServerStream kind = "server_stream"
	kindBidiStream   kind = "bidi_stream"
)

func kindOf(client, server bool) kind {
	switch {
	case client && server:
		return kindBidiStream
	case client:
		return kindClientStream
	case server:
		return kindServerStream
	default:
		return kindUnary
	}
}

// method is what the steps need to know of a method.
type method struct {
	full          string // as the transport has it
	service, name string
	kind          kind
	exempt        bool
	policy        policy.Method
	governed      bool           // there is a policy
	meters        func() *meters // made with the first call
}

// methods knows what is to be known of each method, found out once.
type methods struct {
	metrics *Metrics
	known   map[string]*method // those with a policy
	others  sync.Map           // *method by full name: a call reaches the chain only of what is registered
}

func newMethods(table *policy.Table, metrics *Metrics) *methods {
	m := &methods{metrics: metrics, known: map[string]*method{}}
	for _, p := range table.Methods() {
		one := m.make(p.FullMethod, kindOf(p.ClientStreaming, p.ServerStreaming))
		one.policy, one.governed = p, true
		m.known[p.FullMethod] = one
	}
	return m
}

func (m *methods) of(full string, k kind) *method {
	if known, ok := m.known[full]; ok {
		return known
	}
	if other, ok := m.others.Load(full); ok {
		return other.(*method) //nolint:forcetypeassert // nothing else is in it
	}
	other, _ := m.others.LoadOrStore(full, m.make(full, k))
	return other.(*method) //nolint:forcetypeassert // as above
}

func (m *methods) make(full string, k kind) *method {
	service, name, found := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	if !found {
		service, name = "unknown", "unknown"
	}
	out := &method{full: full, service: service, name: name, kind: k, exempt: isExempt(service)}
	out.meters = sync.OnceValue(func() *meters { return m.metrics.of(out) })
	return out
}
