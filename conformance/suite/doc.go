// Package suite runs checks of the protocol's rules against a system that others wrote,
// and says what became of each, with evidence. It knows nothing of servers or agents:
// the packages with the checks do.
//
// What a run reports can be trusted in these ways: a check passes only if it recorded
// each RPC that it is about; a check that panics is the suite's own fault and never the
// system's; one that hangs is failed at its deadline, given up, and the others go on; a
// rule without a check is reported as such.
//
// It may import conformance, gen, grpc and the standard library, and nothing of what it
// judges.
package suite
