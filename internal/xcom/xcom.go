// Package xcom carries values from one task to another: it checks their size and
// their schema, gives them a life, and keeps each attempt's values apart.
//
// It may import internal/domain; storage is the [Repository] given to it.
package xcom

import (
	"errors"
	"time"
)

// Key names a value: a task's output under a name, within a run of a tenant.
type Key struct{ TenantID, DagID, RunID, TaskID, Name string }

// Entry is a stored value, byte for byte as it was pushed (XCOM-4).
type Entry struct {
	Value       []byte
	ContentType string
	SizeBytes   int
	CreatedAt   time.Time
}

// Why a push or a fetch is refused.
var (
	ErrNotFound       = errors.New("no such value")                        // absent, expired, or of an older try
	ErrTooLarge       = errors.New("value is over the size limit")         // XCOM-2
	ErrSchemaMismatch = errors.New("value does not match its JSON Schema") // XCOM-3
)

const (
	// MaxSizeBytes is the default limit of a value.
	MaxSizeBytes = 256 * 1024
	// MaxConfigurableSizeBytes is the largest limit that can be configured: a
	// value must fit in a client's default message limit of 4 MiB.
	MaxConfigurableSizeBytes = 3 * 1024 * 1024
	// DefaultTTL is how long a value lives after its push.
	DefaultTTL = 7 * 24 * time.Hour
)
