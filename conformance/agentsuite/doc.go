// Package agentsuite is the checks that judge an agent: any program that is launched as
// the protocol launches agents. It needs nothing but the executable.
//
// For each check it plays a control plane that answers as the check wants, launches the
// agent beside it, and judges what came over the wire, what the task saw, and what was
// left behind. The task is a script for bash that tells of itself over a named pipe. The
// pipe also tells, by its end, when the last process of the task is gone, whatever
// session or group it fled to.
//
// A check that passes has seen the agent do the thing in question: one that does
// nothing, or ends at once, passes none. Waits end by events; the few that look whether
// something does not happen, such as a start before it is due, are short and stretched
// by the run's scale.
//
// What takes real time: the heartbeats of an agent that nobody asked for an interval come
// every 15 s (A-BEAT-1/default, up to 35 s); a task that heeds no signal lives for the
// agent's grace (A-RUN-3, 10 s and more); and a server that is restarted is
// away for 40 s (A-NET-1/restart), or for all of 60 s if the target says [Target.Full]. As the checks wait far more than they work, run
// [Parallel] at once.
//
// It may import conformance, its suite, gen and grpc, and nothing of what it judges. It
// needs a Unix system with bash.
package agentsuite
