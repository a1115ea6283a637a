// Package drill is test equipment: it kills a control plane again and again under a
// pipeline, and holds what its agents saw acknowledged against what its store holds
// at the end.
//
// A [Proxy] stands between agents and server and shows every message to a
// [Recorder]; a [Plan] is the pipeline, and what must become of it; [Run] drives the
// two around a server that dies by SIGKILL; [ReadBack] asks the store, and [Compare]
// and [Plan.Check] tell every difference. The machinery is the protocol's own
// evidence, so it shares no code with what it judges.
//
// With several servers of one database there is a crowd beside the pipeline: agents that
// are cancelled, superseded, tried again and reaped, whose histories [Crowd.Check] holds
// against the state table of the spec.
//
// It may import gen, grpc and protobuf, nothing else of ours. Tests and its tool alone
// may import it.
package drill
