// Package conformance judges systems that speak the agent protocol, rule by rule: what
// `leoflow-conformance` does on a command line, and tests of Go call. Its parts are the
// catalogue of rules, the suite that runs checks and keeps what they saw, and the checks
// of each side, serversuite and agentsuite.
//
// It judges the systems of others as it judges ours. So it may import gen, grpc and
// libraries, and never anything under internal: it shares no mistake with what it tests.
package conformance
