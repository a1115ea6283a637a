// Package agent is the reference agent as a library: it runs one attempt of one
// task, and tells the control plane what became of it.
//
// [Run] keeps the order that the protocol's agents have always kept: open the log
// stream, register, read the specification, fetch the inputs and the secrets,
// report RUNNING, run the command, finish the log, push the return value, report the
// outcome. It beats all the while, from the registration until the outcome is
// acknowledged. It works unchanged against a control plane that knows none of the
// protocol's later fields. [Standalone] is that for a process of its own: with signals,
// orphans to reap, and a token to keep from the task.
//
// It runs the operators "bash" (a script) and "python" (module:function, called by a
// small embedded runtime), which differ in the command alone. It needs a Unix system:
// a task is a process group.
//
// It may import gen, internal/domain, grpc and libraries, nothing else of ours: an
// agent shares no code with the control plane that judges it.
package agent
