package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATE codes that say more than their class.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	adminShutdown        = "57P01" // also where somebody ends this connection alone
	crashShutdown        = "57P02"
)

// curableCodes are the SQLSTATE codes of what may pass. Those of two letters are classes.
var curableCodes = []string{
	"08",             // connection exceptions
	"40",             // rolled back for another transaction's sake
	"53",             // out of disk, memory, connections
	"57",             // shut down, starting, crashed, cancelled
	"58",             // trouble of the system
	"25006",          // read-only: a standby, until it takes over
	"25P03", "25P04", // the transaction was idle, or took, for too long
	lockNotAvailable,          // waited too long for a lock
	"3D000", "28P01", "28000", // while a database is put back, or its passwords change
}

// absentCodes are those of a database that starts, ends, lets nobody more in, or follows
// another that it has not taken over from yet, and of what stands before one that is away.
var absentCodes = []string{"08", "57P01", "57P02", "57P03", "53300", "25006"}

// staleCodes are those of a connection that has not prepared what it was thought to have,
// or has prepared it otherwise: somebody in between gave another, or a table has changed.
var staleCodes = []string{"26000", "0A000", "42P05"}

// among reports whether a code is one of those, or of a class of those.
func among(codes []string, code string) bool {
	return slices.Contains(codes, code) || len(code) > 2 && slices.Contains(codes, code[:2])
}

// disconnected reports whether a connection broke, or never was one.
func disconnected(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// curablePostgres reports whether an error is of the database's state or of the way to
// it, which may recover.
func curablePostgres(err error) bool {
	if e := new(pgconn.PgError); errors.As(err, &e) {
		return among(curableCodes, e.Code)
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || disconnected(err)
}

// absent reports whether a database could not be reached, or not be used yet.
func absent(err error) bool {
	if e := new(pgconn.PgError); errors.As(err, &e) {
		return among(absentCodes, e.Code)
	}
	var network net.Error
	return errors.As(err, &network) || disconnected(err)
}

// stale reports whether what a connection has prepared is of no use any more. Nothing was
// written then.
func stale(err error) bool {
	e := new(pgconn.PgError)
	return errors.As(err, &e) && slices.Contains(staleCodes, e.Code)
}

// held reports whether a statement has waited too long for a row that another
// transaction holds.
func held(err error) bool {
	e := new(pgconn.PgError)
	return errors.As(err, &e) && e.Code == lockNotAvailable
}

// cutOff reports whether the connection broke, so that nobody knows what was committed.
// Where no new one can be made, it is nothing of this one.
func cutOff(err error) bool {
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	if e := new(pgconn.PgError); errors.As(err, &e) {
		return e.Code == adminShutdown || e.Code == crashShutdown
	}
	return errors.Is(err, driver.ErrBadConn) || disconnected(err)
}

// conflicted reports whether the database has rolled a transaction back for the sake of
// another one, after which it can be run again.
func conflicted(err error) bool {
	e := new(pgconn.PgError)
	return errors.As(err, &e) && (e.Code == serializationFailure || e.Code == deadlockDetected)
}
