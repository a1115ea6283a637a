// Package faults holds tests only: real agents, as processes, against a real control
// plane under what happens to either in the world. Agents and tasks are killed and
// stopped, the control plane's clock is set, its database is locked, stopped, read-only
// or out of reach, and the network between them delays, cuts, swallows and dribbles.
//
// Nothing of the tests waits for a time to pass: they wait for what happens, and let a
// window of silence pass by counting what happens in it.
//
// The tests may import internal/server, internal/auth, internal/pgtest, gen, grpc, SQLite's driver and
// toxiproxy; an agent is only the command.
package faults
