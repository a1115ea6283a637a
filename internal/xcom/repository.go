package xcom

import (
	"context"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Repository keeps values. internal/store has the one that lasts and xcomtest a
// fake in memory; the contract suite of xcomtest holds both to what follows.
//
// Each method answers within the tenant of the context: without one, or when an
// argument names another, it is domain.ErrNoTenant and nothing happens. An error
// that matches domain.ErrNotLive is definitive; domain.ErrUnknown is one, for an
// attempt that does not exist with every identifier given.
type Repository interface {
	// PutXCom stores e under a name for the attempt from, in the place of what that
	// attempt pushed under it before, with a life until expires. It does so only
	// while the attempt awaits its outcome (a cancel may be pending), decided along
	// with the write; otherwise it changes nothing and returns a not-live sentinel
	// (XCOM-6). The repository keeps value and content type as they are, and times to
	// the microsecond; it takes the size from the value.
	PutXCom(ctx context.Context, from domain.AttemptRef, name string, e Entry, expires time.Time) error
	// GetXCom returns what the current try of key's task pushed under its name, if its
	// life goes on after now; [ErrNotFound] otherwise, for a task that does not exist
	// too. A by that is settled or superseded gets a not-live sentinel instead
	// (XCOM-7); nil: nobody in particular asks.
	GetXCom(ctx context.Context, key Key, by *domain.AttemptRef, now time.Time) (Entry, error)
	// CurrentAttempt returns the current try of key's task, settled or not;
	// [ErrNotFound] where there is none. key.Name does not matter.
	CurrentAttempt(ctx context.Context, key Key) (domain.AttemptRef, error)
}
