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

// curablePostgres reports whether an error is of the database's state or of the way to
// it, which may recover.
func curablePostgres(err error) bool {
	if e := new(pgconn.PgError); errors.As(err, &e) {
		return slices.Contains(curableCodes, e.Code) || len(e.Code) > 2 && slices.Contains(curableCodes, e.Code[:2])
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
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
	var network *net.OpError
	return errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// conflicted reports whether the database has rolled a transaction back for the sake of
// another one, after which it can be run again.
func conflicted(err error) bool {
	e := new(pgconn.PgError)
	return errors.As(err, &e) && (e.Code == serializationFailure || e.Code == deadlockDetected)
}
