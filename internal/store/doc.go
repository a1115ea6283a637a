// Package store keeps everything that must outlive the process: runs, attempts
// and their history, values, secrets, audit records. It is the only importer of
// ent, and returns the sentinels of internal/domain.
//
// It may import domain, auth, xcom, secrets, batch and ent; nothing of gRPC.
//
// # Tenants
//
// The tenant of every call is that of the context ([domain.WithTenant]); without
// one, or when an argument names another, a call returns domain.ErrNoTenant and
// does nothing. ent's policies hold every statement to it (ent/schema).
//
// # State
//
// What depends on an attempt's state is written by one conditional UPDATE whose
// guard is made from domain.Sources, in one transaction with the task's state and
// the run's history. Where no row matched, the reason is read in that transaction;
// a row that turns out to be live still is tried again, never called unknown.
// Locks are taken in the order attempt, task instance, run.
//
// # Writes of agents
//
// Heartbeats, reports and pushes are gathered (internal/batch): what comes while the last
// are being written goes in one transaction, heartbeats in one that does not wait for the
// disk. What such a write does not do, whoever gave it does again by itself, which tells
// why: refusals, repeats, and rows that another transaction holds. With [Direct] everything
// is done so; tests hold the two against each other.
//
// # Databases
//
// SQLite has one writer: a transaction is alone from its first statement to its last. On
// PostgreSQL what decides is taken first (hold.go), a conditional UPDATE looks again at a
// row that another has changed, and what the database rolls back for another transaction's
// sake is run again. Reads see one moment on both. What is of one of them only is in
// sqlite.go, backup.go, postgres.go, postgres_errors.go, hold.go and migrate.go.
//
// # Errors
//
// An error that matches domain.ErrNotLive was read, not guessed. What a retry may
// cure is domain.ErrUnavailable, wrapped. Everything else is a fault.
package store
