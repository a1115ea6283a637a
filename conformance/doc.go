// Package conformance is what the conformance suite of the agent protocol is made of.
// For now that is its catalogue: the rules that bind a control plane and an agent, each
// with its reason, what it takes to judge it, and whom it binds.
//
// It judges the systems of others as it judges ours. So it may import gen, grpc and
// libraries, and never anything under internal: it shares no mistake with what it tests.
package conformance
