package store

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/batch"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// Sealer seals secrets for storage. A [secrets.Keyset] is one.
type Sealer interface {
	Seal(secrets.Name, []byte) ([]byte, error)
	Unseal(secrets.Name, []byte) ([]byte, error)
}

// Config says where a store keeps its data and what it works with.
type Config struct {
	// Dir is the data directory. It is made, mode 0700, where it is missing, and
	// belongs to one open store at a time. It may be empty where there is a DSN.
	Dir string
	// DSN names a PostgreSQL database, as in postgres://user@host/database, which the
	// stores of any number of processes may have open; empty: a file in Dir.
	DSN string
	// SharedDir lets other stores have Dir too, as long as all say so: there must be a DSN.
	SharedDir bool
	// Clock tells the time; nil: the database's clock where there is a DSN, else time.Now.
	Clock func() time.Time
	// Logger; nil: slog.Default().
	Logger *slog.Logger
	// Sealer seals secrets; nil: the methods of secrets return domain.ErrUnavailable.
	Sealer Sealer
	// NewID makes the ids of task instances, unique within a tenant; nil: random UUIDs.
	NewID func() string
	// WritePath; empty: Batched.
	WritePath WritePath
}

func (c Config) withDefaults() Config {
	if c.Clock == nil && c.DSN == "" {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.NewID == nil {
		c.NewID = uuid.NewString
	}
	if c.WritePath == "" {
		c.WritePath = Batched
	}
	return c
}

// Store keeps the state of a control plane in an SQLite file or in PostgreSQL. It is
// safe for concurrent use. [Open] makes one.
type Store struct {
	writer  *ent.Client      // of one connection on SQLite
	reader  *ent.Client      // the writer on PostgreSQL
	lock    *dirLock         // nil: of no directory
	clock   func() time.Time // nil: the database's
	logger  *slog.Logger
	sealer  Sealer
	newID   func() string
	watches *watches
	wakes   *wakes // nil: there are no other servers

	postgres         bool
	writing, reading *sql.TxOptions // nil on SQLite, where connections say it all
	patience         time.Duration  // bounds a transaction
	conns            int            // how many connections readers have at most

	specs      *specs
	counts     *counts
	path       WritePath
	statements statements
	durable    *gathering                                   // of what waits for the disk
	hasty      *gathering                                   // of heartbeats
	beats      *batch.Writer[domain.AttemptRef, outcome]    // nil: each is written by itself
	deeds      *batch.Writer[deed, outcome]                 // nil: likewise
	fetching   *gathering                                   // of what is read
	fetches    *batch.Writer[wanted, fetched]               // nil: each is read by itself
	specReads  *batch.Writer[domain.AttemptRef, []byte]     // nil: likewise
	ends       *batch.Writer[domain.AttemptRef, attemptEnd] // nil: likewise

	calls  sync.RWMutex // held by each call for reading; Close waits for them
	closed bool         // guarded by calls
}

// begin lets a call in until its end, or tells that the store is closed.
func (s *Store) begin() (end func(), err error) {
	s.calls.RLock()
	if s.closed {
		s.calls.RUnlock()
		return nil, errClosed
	}
	return s.calls.RUnlock, nil
}

// now returns the time as it is stored, by the database's clock where it has one.
func (s *Store) now(ctx context.Context, tx *ent.Tx) (int64, error) {
	if s.clock == nil {
		return postgresNow(ctx, tx)
	}
	return s.clock().UnixMicro(), nil
}

// instant returns a stored time.
func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// laterInstant returns a stored time that may be absent, as the zero time then.
func laterInstant(micros *int64) time.Time {
	if micros == nil {
		return time.Time{}
	}
	return instant(*micros)
}

// latestMicros is the end of the year 9999, the last that a timestamp on the wire holds.
var latestMicros = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC).UnixMicro()

// clamped returns a time that somebody else's clock made, within the years 1970 to
// 9999; nil for the zero time.
func clamped(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	var micros int64
	switch {
	case t.Year() > 9999:
		micros = latestMicros
	case t.Year() >= 1970:
		micros = max(0, min(t.UnixMicro(), latestMicros))
	}
	return &micros
}
